import { type Site, type Workload, type WorkloadGroup } from '../workload.ts';

/** find with stat of the whole union. */
export const find = (site: Site): Promise<void> => site.run('find', site.root, '-xdev', '-printf', '%s %m %T@\\n');

/** How many files and directories the union has. */
export async function countEntries(site: Site): Promise<number> {
  return (await site.capture('find', site.root, '-xdev', '-printf', '.')).length;
}

// A pipe, as tar reads no file where its output is /dev/null.
const tar = (site: Site): Promise<void> => site.run('sh', '-c', 'tar -C "$0" -cf - . | cat >/dev/null', site.root);
const list = (site: Site): Promise<void> => site.run('ls', '-lR', site.root);
const usage = (site: Site): Promise<void> => site.run('du', '-sx', site.root);

const operations = countEntries;

/** Reading the whole image. */
export const walk: WorkloadGroup = (): Workload[] => [
  { name: 'find-cold', description: 'find with stat of the whole image', cold: true, operations, measure: find },
  { name: 'find-warm', description: 'the same again', operations, prepare: find, measure: find },
  { name: 'ls-warm', description: 'ls -lR of the whole image, again', operations, prepare: list, measure: list },
  { name: 'du-warm', description: 'du of the whole image, again', operations, prepare: usage, measure: usage },
  { name: 'tar-cold', description: 'tar of the whole image to a pipe', cold: true, operations, measure: tar },
  { name: 'tar-warm', description: 'the same again', operations, prepare: tar, measure: tar },
];
