import { type IdRange, type OverlayOptions } from './options.ts';

/** chown(2): leave as it is. */
const UNCHANGED = 0xffffffff;
/** /proc/sys/kernel/overflowuid's default: the owner of what no range maps. */
const OVERFLOW = 65534;

/** Owners on disk to owners in the mount, and back, for one of uid and gid. */
class IdMap {
  readonly #ranges: readonly IdRange[] | undefined;
  readonly #squash: number | undefined;

  constructor(ranges: readonly IdRange[] | undefined, squash: number | undefined) {
    this.#ranges = ranges;
    this.#squash = squash;
  }

  shown(id: number): number {
    if (this.#squash !== undefined) return this.#squash;
    if (this.#ranges === undefined) return id;
    for (const { host, to, length } of this.#ranges) if (id >= host && id < host + length) return id - host + to;
    return OVERFLOW;
  }

  stored(id: number): number {
    if (this.#ranges === undefined || id === UNCHANGED) return id;
    for (const { host, to, length } of this.#ranges) if (id >= to && id < to + length) return id - to + host;
    return OVERFLOW;
  }
}

/** `uidmapping`, `gidmapping` and the `squash_to_*` options. */
export class Owners {
  readonly uid: IdMap;
  readonly gid: IdMap;
  /** Nothing is mapped: most mounts. */
  readonly identity: boolean;
  /** Owners are squashed: one that cannot be given is not missed, as nobody will see it. */
  readonly squashes: boolean;

  constructor(options: OverlayOptions) {
    this.uid = new IdMap(options.uidMapping, options.squashUid);
    this.gid = new IdMap(options.gidMapping, options.squashGid);
    const given = [options.uidMapping, options.gidMapping, options.squashUid, options.squashGid];
    this.squashes = options.squashUid !== undefined || options.squashGid !== undefined;
    this.identity = given.every((option) => option === undefined);
  }
}
