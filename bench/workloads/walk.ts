import { type Site, type Workload } from '../workload.ts';

const find = (site: Site): Promise<void> => site.run('find', site.root, '-xdev', '-printf', '%s %m %T@\\n');

// A pipe, as tar reads no file where its output is /dev/null.
const tar = (site: Site): Promise<void> => site.run('sh', '-c', 'tar -C "$0" -cf - . | cat >/dev/null', site.root);

/** Reading the whole image. */
export const WALK: readonly Workload[] = [
  { name: 'find-cold', description: 'find with stat of the whole image', cold: true, measure: find },
  { name: 'find-warm', description: 'the same again', prepare: find, measure: find },
  { name: 'tar-cold', description: 'tar of the whole image to a pipe', cold: true, measure: tar },
  { name: 'tar-warm', description: 'the same again', prepare: tar, measure: tar },
];
