import { redirectFault } from '../overlay/redirect.ts';
import { findInDataLayers } from '../overlay/data-layers.ts';
import { openWithoutTrace } from '../overlay/real-file.ts';
import { type FilePlace, findData } from '../overlay/stack.ts';
import { type Digest, measureDigest, objection, parseMetacopy } from '../overlay/verity.ts';
import { Attr } from '../sys/attr.ts';
import { type ByteString, toText } from '../sys/bytes.ts';
import { O_NONBLOCK, O_RDONLY } from '../sys/constants.ts';
import { close, statat } from '../sys/file.ts';
import { type CheckedLayer } from './checked-layer.ts';
import { type CheckedEntry } from './entry.ts';
import { type Place } from './problem.ts';

const data = new Attr();

/** Checks that the data of a metacopy is where it says, and as it was. */
export function checkMetacopy(
  layer: CheckedLayer,
  entry: CheckedEntry,
  own: ReadonlyMap<ByteString, ByteString>,
  metacopy: ByteString,
  attr: Attr,
): void {
  const { union } = layer;
  const place = { directory: entry.directory, name: entry.name };
  const expected = parseMetacopy(metacopy);
  if (expected === 'invalid') {
    const choice = `set ${union.metacopyXattr} to the empty value if the lower file can be trusted`;
    layer.report('metacopy-value', place, `${union.metacopyXattr} is neither empty nor a digest`, choice);
  }
  if (!layer.hasLowers && union.dataLayers.length === 0) return;
  const redirect = own.get(union.redirectXattr);
  const fault = redirect === undefined ? undefined : redirectFault(redirect);
  const found = fault === undefined ? placeOfData(layer, entry, redirect) : undefined;
  if (found === undefined || statat(union.fds.fd(found.directory), found.name, data) < 0) {
    const where = redirect === undefined ? 'under its name' : `at its redirect ${JSON.stringify(toText(redirect))}`;
    const why = fault === undefined ? '' : `, which ${fault}`;
    const choice = 'mount it with the lower layer that has the data, or write the file anew';
    layer.report('metacopy-no-data', place, `metadata only, and no layer below has a file ${where}${why}`, choice);
  } else if (data.size !== attr.size) {
    const choice = 'put the lower file back as it was, or write this one anew';
    layer.report('metacopy-size', place, `${attr.size} bytes, of which the lower file has ${data.size}`, choice);
  } else if (typeof expected === 'object') {
    checkDigest(layer, place, found, expected);
  }
}

function placeOfData(
  layer: CheckedLayer,
  { parent, name }: CheckedEntry,
  redirect: ByteString | undefined,
): FilePlace | undefined {
  const found = findData(layer.union, parent, layer.layer.index, name, redirect);
  const place = typeof found === 'string' ? findInDataLayers(layer.union, found) : found;
  return typeof place === 'number' ? undefined : place;
}

function checkDigest(layer: CheckedLayer, place: Place, { directory, name }: FilePlace, expected: Digest): void {
  const fd = openWithoutTrace(directory.layer, layer.union.fds.fd(directory), name, O_RDONLY | O_NONBLOCK);
  // Whoever may not read it cannot tell.
  if (fd < 0) return;
  const problem = objection(expected, measureDigest(fd), false);
  close(fd);
  if (problem === '') return;
  layer.report('metacopy-digest', place, problem, 'put the lower file back as it was, or write this one anew');
}
