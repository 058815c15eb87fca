import { join, resolve } from 'node:path';

/** The repository's own directory. */
export const REPOSITORY = resolve(import.meta.dirname, '../..');

/** Where the built program is: what the tests spawn. `LAMINA_DIST` names another build. */
export const DIST = resolve(process.env['LAMINA_DIST'] || join(REPOSITORY, 'dist'));
