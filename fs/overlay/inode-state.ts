import { S_IFMT } from '../sys/constants.ts';
import { LivePart, RarePart } from './inode-parts.ts';
import { PROTECTION } from './protection.ts';
import { withBit } from './with-bit.ts';

// An inode takes few words: what is true or false, and small numbers, are bits of one; what most do not have is in parts
// that they share until they have some of it.

/** Bits beside those of the type, which are 12 to 15 of a mode. */
const BIT = {
  kept: 0x1,
  tooLarge: 0x2,
  metacopy: 0x4,
  dataRedirected: 0x8,
  hasOrigin: 0x10,
  unlinked: 0x20,
  passedThrough: 0x40,
  changesUnseen: 0x80,
  /** Whether it is known to be a program's, and whether it is one. */
  programKnown: 0x100,
  program: 0x200,
  contentDue: 0x400,
} as const;
const LACKS_SHIFT = 16;
const LACKS_MASK = 0xf;
const PROTECTION_SHIFT = 20;
const PROTECTION_MASK = 0xf;

const NOTHING_LIVE = new LivePart();
const NOTHING_RARE = new RarePart();

// Functions, since a class's private methods make each of its instances a word larger (V8 marks it by a field).

function ownLive(part: LivePart): LivePart {
  return part === NOTHING_LIVE ? new LivePart() : part;
}

function ownRare(part: RarePart): RarePart {
  return part === NOTHING_RARE ? new RarePart() : part;
}

/** Gives up the part of a file that is open no more. */
function shedLive(part: LivePart): LivePart {
  return part.isEmpty ? NOTHING_LIVE : part;
}

/** What is known of an inode, but for its names and where its file is. */
export class InodeState {
  #bits: number;
  #live = NOTHING_LIVE;
  #rare = NOTHING_RARE;

  /** @param type S_IFMT bits. */
  constructor(type: number) {
    this.#bits = (type & S_IFMT) | (PROTECTION.unread << PROTECTION_SHIFT);
  }

  /** S_IFMT bits. */
  get type(): number {
    return this.#bits & S_IFMT;
  }

  /** The kernel has let go of it, and may come back for it by a file handle. */
  get kept(): boolean {
    return (this.#bits & BIT.kept) !== 0;
  }
  set kept(value: boolean) {
    this.#bits = withBit(this.#bits, BIT.kept, value);
  }

  /** Its entries are too many for the cache to keep an index. */
  get tooLarge(): boolean {
    return (this.#bits & BIT.tooLarge) !== 0;
  }
  set tooLarge(value: boolean) {
    this.#bits = withBit(this.#bits, BIT.tooLarge, value);
  }

  /** Its upper file holds all but the data (overlayfs's metacopy), which is in a layer below, if anywhere. */
  get metacopy(): boolean {
    return (this.#bits & BIT.metacopy) !== 0;
  }
  set metacopy(value: boolean) {
    this.#bits = withBit(this.#bits, BIT.metacopy, value);
  }

  /** Its upper file tells by a redirect where the data is, and so can be renamed. */
  get dataRedirected(): boolean {
    return (this.#bits & BIT.dataRedirected) !== 0;
  }
  set dataRedirected(value: boolean) {
    this.#bits = withBit(this.#bits, BIT.dataRedirected, value);
  }

  /** It was copied up, and shows its origin's inode number. */
  get hasOrigin(): boolean {
    return (this.#bits & BIT.hasOrigin) !== 0;
  }
  set hasOrigin(value: boolean) {
    this.#bits = withBit(this.#bits, BIT.hasOrigin, value);
  }

  /** It has no name any more. */
  get unlinked(): boolean {
    return (this.#bits & BIT.unlinked) !== 0;
  }
  set unlinked(value: boolean) {
    this.#bits = withBit(this.#bits, BIT.unlinked, value);
  }

  /** The kernel has read or written it by itself: what its page cache has from before may be old. */
  get passedThrough(): boolean {
    return (this.#bits & BIT.passedThrough) !== 0;
  }
  set passedThrough(value: boolean) {
    this.#bits = withBit(this.#bits, BIT.passedThrough, value);
  }

  /** It may be mapped for writing without our knowledge, and so change. */
  get changesUnseen(): boolean {
    return (this.#bits & BIT.changesUnseen) !== 0;
  }
  set changesUnseen(value: boolean) {
    this.#bits = withBit(this.#bits, BIT.changesUnseen, value);
  }

  /** Its data, in a lower layer, is known to be a program's, or not to be. */
  get isProgram(): boolean | undefined {
    return (this.#bits & BIT.programKnown) === 0 ? undefined : (this.#bits & BIT.program) !== 0;
  }
  set isProgram(value: boolean | undefined) {
    this.#bits = withBit(this.#bits, BIT.programKnown, value !== undefined);
    this.#bits = withBit(this.#bits, BIT.program, value === true);
  }

  /** Its content, in a lower layer, is small and goes to the kernel with the first open of it. */
  get contentDue(): boolean {
    return (this.#bits & BIT.contentDue) !== 0;
  }
  set contentDue(value: boolean) {
    this.#bits = withBit(this.#bits, BIT.contentDue, value);
  }

  /** Bits of `LACKS`: xattrs that it was asked for and does not have; nothing but setxattr(2) gives a file some. */
  get lacks(): number {
    return (this.#bits >> LACKS_SHIFT) & LACKS_MASK;
  }
  set lacks(value: number) {
    this.#bits = (this.#bits & ~(LACKS_MASK << LACKS_SHIFT)) | (value << LACKS_SHIFT);
  }

  /** Bits of `PROTECTION`: what `chattr` forbids. */
  get protection(): number {
    return (this.#bits >> PROTECTION_SHIFT) & PROTECTION_MASK;
  }
  set protection(value: number) {
    this.#bits = (this.#bits & ~(PROTECTION_MASK << PROTECTION_SHIFT)) | (value << PROTECTION_SHIFT);
  }

  get upper(): LivePart['upper'] {
    return this.#live.upper;
  }
  set upper(value: LivePart['upper']) {
    if (value === this.#live.upper) return;
    (this.#live = ownLive(this.#live)).upper = value;
    if (value === undefined) this.#live = shedLive(this.#live);
  }

  get lowers(): LivePart['lowers'] {
    return this.#live.lowers;
  }
  set lowers(value: LivePart['lowers']) {
    if (value !== this.#live.lowers) (this.#live = ownLive(this.#live)).lowers = value;
  }

  get children(): LivePart['children'] {
    return this.#live.children;
  }
  set children(value: LivePart['children']) {
    if (value === this.#live.children) return;
    (this.#live = ownLive(this.#live)).children = value;
    if (value === undefined) this.#live = shedLive(this.#live);
  }

  get listed(): LivePart['listed'] {
    return this.#live.listed;
  }
  set listed(value: LivePart['listed']) {
    if (value === this.#live.listed) return;
    (this.#live = ownLive(this.#live)).listed = value;
    if (value === undefined) this.#live = shedLive(this.#live);
  }

  get handles(): LivePart['handles'] {
    return this.#live.handles;
  }
  set handles(value: LivePart['handles']) {
    if (value === this.#live.handles) return;
    (this.#live = ownLive(this.#live)).handles = value;
    if (value === undefined) this.#live = shedLive(this.#live);
  }

  get reader(): LivePart['reader'] {
    return this.#live.reader;
  }
  set reader(value: LivePart['reader']) {
    if (value === this.#live.reader) return;
    (this.#live = ownLive(this.#live)).reader = value;
    if (value === undefined) this.#live = shedLive(this.#live);
  }

  get writer(): LivePart['writer'] {
    return this.#live.writer;
  }
  set writer(value: LivePart['writer']) {
    if (value === this.#live.writer) return;
    (this.#live = ownLive(this.#live)).writer = value;
    if (value === undefined) this.#live = shedLive(this.#live);
  }

  get backing(): LivePart['backing'] {
    return this.#live.backing;
  }
  set backing(value: LivePart['backing']) {
    if (value === this.#live.backing) return;
    (this.#live = ownLive(this.#live)).backing = value;
    if (value === 0) this.#live = shedLive(this.#live);
  }

  get passing(): LivePart['passing'] {
    return this.#live.passing;
  }
  set passing(value: LivePart['passing']) {
    if (value === this.#live.passing) return;
    (this.#live = ownLive(this.#live)).passing = value;
    if (value === 0) this.#live = shedLive(this.#live);
  }

  get caching(): LivePart['caching'] {
    return this.#live.caching;
  }
  set caching(value: LivePart['caching']) {
    if (value === this.#live.caching) return;
    (this.#live = ownLive(this.#live)).caching = value;
    if (value === 0) this.#live = shedLive(this.#live);
  }

  get formers(): RarePart['formers'] {
    return this.#rare.formers;
  }
  set formers(value: RarePart['formers']) {
    if (value !== this.#rare.formers) (this.#rare = ownRare(this.#rare)).formers = value;
  }

  get aliases(): RarePart['aliases'] {
    return this.#rare.aliases;
  }
  set aliases(value: RarePart['aliases']) {
    if (value !== this.#rare.aliases) (this.#rare = ownRare(this.#rare)).aliases = value;
  }

  get data(): RarePart['data'] {
    return this.#rare.data;
  }
  set data(value: RarePart['data']) {
    if (value !== this.#rare.data) (this.#rare = ownRare(this.#rare)).data = value;
  }

  get dataName(): RarePart['dataName'] {
    return this.#rare.dataName;
  }
  set dataName(value: RarePart['dataName']) {
    if (value !== this.#rare.dataName) (this.#rare = ownRare(this.#rare)).dataName = value;
  }

  get dataBlocks(): RarePart['dataBlocks'] {
    return this.#rare.dataBlocks;
  }
  set dataBlocks(value: RarePart['dataBlocks']) {
    if (value !== this.#rare.dataBlocks) (this.#rare = ownRare(this.#rare)).dataBlocks = value;
  }

  get dataPath(): RarePart['dataPath'] {
    return this.#rare.dataPath;
  }
  set dataPath(value: RarePart['dataPath']) {
    if (value !== this.#rare.dataPath) (this.#rare = ownRare(this.#rare)).dataPath = value;
  }

  get dataFault(): RarePart['dataFault'] {
    return this.#rare.dataFault;
  }
  set dataFault(value: RarePart['dataFault']) {
    if (value !== this.#rare.dataFault) (this.#rare = ownRare(this.#rare)).dataFault = value;
  }

  get copying(): RarePart['copying'] {
    return this.#rare.copying;
  }
  set copying(value: RarePart['copying']) {
    if (value !== this.#rare.copying) (this.#rare = ownRare(this.#rare)).copying = value;
  }

  get realIno(): RarePart['realIno'] {
    return this.#rare.realIno;
  }
  set realIno(value: RarePart['realIno']) {
    if (value !== this.#rare.realIno) (this.#rare = ownRare(this.#rare)).realIno = value;
  }

  get linkedIn(): RarePart['linkedIn'] {
    return this.#rare.linkedIn;
  }
  set linkedIn(value: RarePart['linkedIn']) {
    if (value !== this.#rare.linkedIn) (this.#rare = ownRare(this.#rare)).linkedIn = value;
  }

  get origin(): RarePart['origin'] {
    return this.#rare.origin;
  }
  set origin(value: RarePart['origin']) {
    if (value !== this.#rare.origin) (this.#rare = ownRare(this.#rare)).origin = value;
  }

  get originIno(): RarePart['originIno'] {
    return this.#rare.originIno;
  }
  set originIno(value: RarePart['originIno']) {
    if (value !== this.#rare.originIno) (this.#rare = ownRare(this.#rare)).originIno = value;
  }

  get lowerNlink(): RarePart['lowerNlink'] {
    return this.#rare.lowerNlink;
  }
  set lowerNlink(value: RarePart['lowerNlink']) {
    if (value !== this.#rare.lowerNlink) (this.#rare = ownRare(this.#rare)).lowerNlink = value;
  }

  get lostLinks(): RarePart['lostLinks'] {
    return this.#rare.lostLinks;
  }
  set lostLinks(value: RarePart['lostLinks']) {
    if (value !== this.#rare.lostLinks) (this.#rare = ownRare(this.#rare)).lostLinks = value;
  }

  get indexName(): RarePart['indexName'] {
    return this.#rare.indexName;
  }
  set indexName(value: RarePart['indexName']) {
    if (value !== this.#rare.indexName) (this.#rare = ownRare(this.#rare)).indexName = value;
  }

  get lowerLinks(): RarePart['lowerLinks'] {
    return this.#rare.lowerLinks;
  }
  set lowerLinks(value: RarePart['lowerLinks']) {
    if (value !== this.#rare.lowerLinks) (this.#rare = ownRare(this.#rare)).lowerLinks = value;
  }

  get pinned(): RarePart['pinned'] {
    return this.#rare.pinned;
  }
  set pinned(value: RarePart['pinned']) {
    if (value !== this.#rare.pinned) (this.#rare = ownRare(this.#rare)).pinned = value;
  }
}
