import { OptionError } from './option-error.ts';
import { type ByteString, toText } from './sys/text.ts';

// The options that name layers, as overlayfs has them: `lowerdir=A:B::D`, and `lowerdir+=` and `datadir+=` one at a time.

/** Lower layers, the topmost first. */
export interface LayerPaths {
  readonly lowers: ByteString[];
  /** Below all others: only the data of metacopies is looked for in them. */
  readonly dataOnly: ByteString[];
  /** `lowerdir` has named them all. */
  isWhole: boolean;
}

/** Splits at `separator`, but not behind a backslash; the backslashes stay. */
export function splitUnescaped(text: ByteString, separator: string): ByteString[] {
  const parts: ByteString[] = [];
  let part = '';
  for (let at = 0; at < text.length; at += 1) {
    const character = text.charAt(at);
    if (character === '\\' && at + 1 < text.length) {
      part += character + text.charAt(at + 1);
      at += 1;
    } else if (character === separator) {
      parts.push(part);
      part = '';
    } else {
      part += character;
    }
  }
  parts.push(part);
  return parts;
}

function unescape(text: ByteString): ByteString {
  return text.replace(/\\([\s\S])/g, '$1');
}

/** A path that is an option's whole value. */
export function parsePath(value: ByteString, name: ByteString): ByteString {
  if (value === '') throw new OptionError(`${name} needs a path: ${name}=PATH`);
  return unescape(value);
}

/** `lowerdir=`: a colon before each layer, a double colon before each data-only one. */
export function parseLowers(value: ByteString, layers: LayerPaths): void {
  if (!layers.isWhole && layers.lowers.length + layers.dataOnly.length > 0) refuseMixture(`lowerdir=${toText(value)}`);
  layers.isWhole = true;
  const parts = splitUnescaped(value, ':');
  for (let at = 0; at < parts.length; at++) {
    const isDataOnly = at > 0 && parts[at] === '';
    if (isDataOnly) at += 1;
    const part = parts[at] ?? '';
    if (part === '') throw new OptionError(`lowerdir=${toText(value)} has an empty path`);
    if (isDataOnly) layers.dataOnly.push(unescape(part));
    else addLower(unescape(part), `lowerdir=${toText(value)}`, layers);
  }
}

/** `lowerdir+=`: one layer below those given so far. */
export function parseLower(value: ByteString, name: ByteString, layers: LayerPaths): void {
  if (layers.isWhole) refuseMixture(`${name}=${toText(value)}`);
  addLower(parsePath(value, name), `${name}=${toText(value)}`, layers);
}

/** `datadir+=`: one data-only layer below all others. */
export function parseDataOnly(value: ByteString, name: ByteString, layers: LayerPaths): void {
  if (layers.isWhole) refuseMixture(`${name}=${toText(value)}`);
  layers.dataOnly.push(parsePath(value, name));
}

/** As overlayfs (ovl_mount_dir_check), which does not take one behind the other: which layer would be on top? */
function refuseMixture(option: string): never {
  throw new OptionError(
    `${option}: lowerdir goes with neither lowerdir+ nor datadir+; give all layers by the one or by the others`,
  );
}

function addLower(path: ByteString, option: string, layers: LayerPaths): void {
  if (layers.dataOnly.length > 0) {
    throw new OptionError(
      `${option}: the layer ${toText(path)} follows a data-only one; data-only layers come last, each after a double colon`,
    );
  }
  layers.lowers.push(path);
}
