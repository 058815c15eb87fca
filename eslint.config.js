import { createTypeScriptImportResolver } from 'eslint-import-resolver-typescript';
import { importX } from 'eslint-plugin-import-x';
import tseslint from 'typescript-eslint';

// Who may import whom: sys <- fuse, libfuse, overlay (and the shared filesystem interface) <- fs/index.ts <- runner <- cli,
// and sys <- overlay <- fsck <- fs/index.ts.
const zone = (target, from, message, except = []) => ({ target, from, message, except });
const users = ['./runner', './cli'];
const seam = ['./sys', './filesystem.ts'];
// What layers look like on disk: the union and those who make and read layers agree on it.
const format = ['./layer-format.ts', './layer-index'];

const boundaries = [
  zone('./fs', users, 'fs does not know its users'),
  zone('./fs/sys', './fs', 'fs/sys imports nothing of ours', ['./sys']),
  zone('./fs/fuse', './fs', 'fs/fuse imports fs/sys and the filesystem interface', [...seam, './fuse']),
  zone('./fs/libfuse', './fs', 'fs/libfuse imports fs/sys and the filesystem interface', [...seam, './libfuse']),
  zone('./fs/layer-index', './fs', 'fs/layer-index imports fs/sys and the format of layers', ['./sys', ...format]),
  zone('./fs/overlay', './fs', 'fs/overlay imports fs/sys, the filesystem interface and the format of layers', [
    ...seam,
    ...format,
    './overlay',
  ]),
  zone('./fs/fsck', './fs', 'fs/fsck imports fs/sys, fs/overlay and the format of layers', [
    './sys',
    ...format,
    './overlay',
    './fsck',
  ]),
  zone('./runner', './cli', 'runner does not know the command line'),
  zone('./runner', './fs', 'runner imports fs/index.ts, fs/sys and the format of layers', [
    './sys',
    './index.ts',
    ...format,
  ]),
  zone('./cli', './fs', 'cli imports runner and fs/index.ts', ['./index.ts']),
  zone(['./fs', ...users], ['./test', './bench'], 'nobody imports test or bench'),
];

export default tseslint.config(
  { ignores: ['dist', 'node_modules', 'coverage'] },
  {
    files: ['**/*.ts'],
    extends: [...tseslint.configs.strictTypeChecked, ...tseslint.configs.stylisticTypeChecked],
    plugins: { 'import-x': importX },
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    settings: { 'import-x/resolver-next': [createTypeScriptImportResolver()] },
    rules: {
      'import-x/no-cycle': 'error',
      'import-x/no-restricted-paths': ['error', { zones: boundaries }],
      'import-x/no-duplicates': 'error',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/prefer-nullish-coalescing': ['error', { ignorePrimitives: true }],
      '@typescript-eslint/switch-exhaustiveness-check': 'off',
      'max-lines-per-function': ['error', { max: 80, skipBlankLines: true, skipComments: true }],
      'max-lines': ['error', { max: 500, skipBlankLines: true, skipComments: true }],
    },
  },
  { files: ['test/**/*.ts'], rules: { 'max-lines-per-function': 'off' } },
);
