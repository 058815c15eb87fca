import { Command } from 'commander';
import { enterUserNamespace } from '../runner/container/userns.ts';
import { hexOf } from '../runner/image/digest.ts';
import { type Image } from '../runner/image/image.ts';
import { type LayerNode, layerTrees } from '../runner/image/layer-tree.ts';
import { familiarName } from '../runner/image/reference.ts';
import { ImageSizes } from '../runner/image/sizes.ts';
import { openStore } from '../runner/image/store.ts';
import { humanSize } from './human-size.ts';
import { print } from './print.ts';
import { printable } from './printable.ts';

const HELP = `
A line is a layer, on the one that it lies on: its size, and the images that end with it. Layers of which each has but one
above it stand below each other; where images part, the tree branches.`;

/** `lamina image tree`. */
export function createCommand(): Command {
  return new Command('tree')
    .description('Draw the layers of images, shared ones once.')
    .argument('[image...]', 'names, ids or beginnings of ids; all where none is given')
    .option('--whatrequires', 'also all images that are made of these')
    .option('--no-trunc', 'print whole digests')
    .addHelpText('after', HELP)
    .action(tree);
}

interface Flags {
  readonly trunc: boolean;
  readonly whatrequires?: true;
}

async function tree(references: readonly string[], { trunc, whatrequires }: Flags): Promise<void> {
  await enterUserNamespace(true);
  const store = openStore();
  const all = store.list();
  const wanted = references.map((reference) => store.resolve(reference));
  const isWanted = (image: Image): boolean =>
    wanted.some((one) => one.id === image.id || (whatrequires === true && isMadeOf(image, one)));
  const images = wanted.length === 0 ? all : all.filter(isWanted);
  const sizes = new ImageSizes(store, all);
  for (const root of layerTrees(images, (image) => sizes.layersOf(image))) {
    for (const line of draw(root, trunc)) print(`${line}\n`);
  }
}

function isMadeOf({ chainIds }: Image, base: Image): boolean {
  const top = base.chainIds.at(-1);
  return top !== undefined && chainIds.includes(top);
}

/** The lines of a layer and all above it. */
function draw(node: LayerNode, trunc: boolean): string[] {
  const lines = [label(node, trunc)];
  const [only, ...others] = node.above;
  // Without a branch there is nothing to indent for.
  if (only !== undefined && others.length === 0) return [...lines, ...draw(only, trunc)];
  node.above.forEach((child, at) => {
    const isLast = at === node.above.length - 1;
    const [first = '', ...rest] = draw(child, trunc);
    lines.push(`${isLast ? '└─ ' : '├─ '}${first}`, ...rest.map((line) => `${isLast ? '   ' : '│  '}${line}`));
  });
  return lines;
}

function label({ chainId, size, images }: LayerNode, trunc: boolean): string {
  const id = trunc ? hexOf(chainId).slice(0, 12) : chainId;
  const names = images.map(nameOf).join(', ');
  return `${id} ${humanSize(size)}${names === '' ? '' : ` ${printable(names)}`}`;
}

function nameOf({ id, names }: Image): string {
  return names.length === 0 ? `<none> (${hexOf(id).slice(0, 12)})` : names.map(familiarName).join(', ');
}
