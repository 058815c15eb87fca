import { checkVolumeName } from './volume-name.ts';
import {
  type ImageRequest,
  type MountAttributes,
  type MountRequest,
  checkDestination,
  isPropagation,
  PROPAGATIONS,
} from './mount-request.ts';
import { tmpfsOf } from './tmpfs-flag.ts';
import { existingSource } from './volume-flag.ts';

/** `type=TYPE,source=...,destination=...`, as docker's and podman's --mount. */
export function parseMount(text: string): MountRequest {
  try {
    return new MountFlag(text).request();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`mount ${JSON.stringify(text)}: ${why}`, { cause: error });
  }
}

const ALIASES: Readonly<Record<string, string>> = {
  src: 'source',
  dst: 'destination',
  target: 'destination',
  ro: 'readonly',
  'volume-subpath': 'subpath',
  'image-subpath': 'subpath',
  'volume-nocopy': 'nocopy',
  U: 'chown',
};

/** The keys of each type, beside those of all. */
const KEYS: Readonly<Record<string, readonly string[]>> = {
  bind: ['bind-propagation', 'bind-nonrecursive', 'bind-recursive', 'chown', 'subpath', 'noexec', 'nosuid', 'dev'],
  volume: ['nocopy', 'volume-label', 'volume-driver', 'volume-opt', 'subpath', 'chown', 'noexec', 'nosuid', 'dev'],
  tmpfs: ['tmpfs-size', 'tmpfs-mode', 'tmpcopyup', 'notmpcopyup', 'exec', 'suid', 'dev'],
  image: ['subpath', 'rw'],
};
const COMMON = ['type', 'source', 'destination', 'readonly', 'consistency', 'relabel', 'rw', 'exec', 'suid', 'nodev'];

class MountFlag {
  readonly #values = new Map<string, string>();
  readonly #labels: Record<string, string> = {};
  readonly #type: string;

  constructor(text: string) {
    for (const field of splitFields(text)) this.#read(field);
    this.#type = this.#values.get('type') ?? 'volume';
    const known = Object.hasOwn(KEYS, this.#type) ? KEYS[this.#type] : undefined;
    if (known === undefined)
      throw new Error(`type ${JSON.stringify(this.#type)} is none of ${Object.keys(KEYS).join(', ')}`);
    const keys = [...COMMON, ...known];
    const wrong = [...this.#values.keys()].find((key) => !keys.includes(key));
    if (wrong !== undefined) throw new Error(`key ${JSON.stringify(wrong)} is none of type ${this.#type}`);
  }

  #read(field: string): void {
    const at = field.indexOf('=');
    const [given, value] = at < 0 ? [field, ''] : [field.slice(0, at), field.slice(at + 1)];
    const key = ALIASES[given] ?? given;
    if (key === 'volume-opt') {
      throw new Error('volume-opt is for drivers of volumes, of which there is local alone, which takes none');
    }
    if (key === 'volume-label') {
      const [name = '', ...rest] = value.split('=');
      this.#labels[name] = rest.join('=');
      return;
    }
    if (this.#values.has(key)) throw new Error(`key ${given} is given twice`);
    this.#values.set(key, value);
  }

  request(): MountRequest {
    const destination = checkDestination(this.#values.get('destination') ?? '');
    const driver = this.#values.get('volume-driver') ?? 'local';
    if (driver !== 'local' && driver !== '') throw new Error(`there is no volume driver ${driver}, but local`);
    switch (this.#type) {
      case 'bind':
        return { type: 'bind', source: existingSource(this.#source()), destination, ...this.#attributes() };
      case 'tmpfs':
        return this.#tmpfs(destination);
      case 'image':
        return this.#image(destination);
      default:
        return this.#volume(destination);
    }
  }

  #volume(destination: string): MountRequest {
    const source = this.#values.get('source') ?? '';
    return {
      type: 'volume',
      ...(source === '' ? {} : { name: checkVolumeName(source) }),
      destination,
      ...this.#attributes(),
      ...(this.#isOn('nocopy') ? { noCopy: true } : {}),
      ...(Object.keys(this.#labels).length > 0 ? { labels: this.#labels } : {}),
    };
  }

  #image(destination: string): ImageRequest {
    const subpath = this.#values.get('subpath');
    const readOnly = !this.#isOn('rw');
    return {
      type: 'image',
      image: this.#source(),
      destination,
      readOnly,
      ...(subpath === undefined ? {} : { subpath }),
    };
  }

  #tmpfs(destination: string): MountRequest {
    if (this.#values.has('source')) throw new Error('a tmpfs has no source');
    const [size, mode] = [this.#values.get('tmpfs-size'), this.#values.get('tmpfs-mode')];
    const flags = ['exec', 'suid', 'dev', 'tmpcopyup'].filter((key) => this.#isOn(key));
    return tmpfsOf(destination, [
      ...(size === undefined ? [] : [`size=${size}`]),
      ...(mode === undefined ? [] : [`mode=${mode}`]),
      ...(this.#isOn('readonly') ? ['ro'] : []),
      ...flags,
    ]);
  }

  #source(): string {
    const source = this.#values.get('source') ?? '';
    if (source === '') throw new Error(`type ${this.#type} needs a source`);
    return source;
  }

  #attributes(): MountAttributes {
    const propagation = this.#values.get('bind-propagation');
    if (propagation !== undefined && !isPropagation(propagation)) {
      throw new Error(`bind-propagation ${JSON.stringify(propagation)} is none of ${PROPAGATIONS.join(', ')}`);
    }
    const subpath = this.#values.get('subpath');
    const recursive = this.#values.get('bind-recursive') ?? 'enabled';
    if (!['enabled', 'disabled', 'writable', 'readonly'].includes(recursive)) {
      throw new Error(`bind-recursive ${JSON.stringify(recursive)} is none of enabled, disabled, writable, readonly`);
    }
    return {
      readOnly: this.#isOn('readonly') || (this.#values.has('rw') && !this.#isOn('rw')),
      ...(this.#isOn('bind-nonrecursive') || recursive === 'disabled' ? { nonRecursive: true } : {}),
      ...(recursive === 'writable' ? { readOnlyRoot: true } : {}),
      ...(propagation === undefined ? {} : { propagation }),
      ...(subpath === undefined ? {} : { subpath }),
      ...(this.#isOn('chown') ? { chown: true } : {}),
      ...(this.#isOn('noexec') ? { noExec: true } : {}),
      ...(this.#isOn('nosuid') ? { noSuid: true } : {}),
      ...(this.#isOn('dev') ? { dev: true } : {}),
    };
  }

  #isOn(key: string): boolean {
    const value = this.#values.get(key);
    if (value === undefined) return false;
    if (['', 'true', '1'].includes(value)) return true;
    if (['false', '0'].includes(value)) return false;
    throw new Error(`key ${key} is neither true nor false: ${JSON.stringify(value)}`);
  }
}

/** Fields parted by commas; one in double quotes may have commas in it, and a quote doubled (RFC 4180). */
function splitFields(text: string): string[] {
  const fields = text.match(/(?:"(?:[^"]|"")*"|[^,])+/g) ?? [];
  return fields.map((field) =>
    field.startsWith('"') && field.endsWith('"') ? field.slice(1, -1).replaceAll('""', '"') : field,
  );
}
