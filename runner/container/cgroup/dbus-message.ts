// Messages of D-Bus, as far as one method call needs them: https://dbus.freedesktop.org/doc/dbus-specification.html
// ("Message Format", "Marshaling"). Ours are little-endian; so are those of every bus on the machines that we run on.

/** Values in the order of a signature, each aligned as its type asks. */
export class MessageWriter {
  #bytes = Buffer.alloc(0);

  get bytes(): Buffer {
    return this.#bytes;
  }

  align(size: number): this {
    return this.#append(Buffer.alloc((size - (this.#bytes.length % size)) % size));
  }

  byte(value: number): this {
    return this.#append(Buffer.of(value));
  }

  uint32(value: number): this {
    const word = Buffer.alloc(4);
    word.writeUInt32LE(value);
    return this.align(4).#append(word);
  }

  /** Of type STRING or OBJECT_PATH. */
  string(text: string): this {
    const bytes = Buffer.from(`${text}\0`, 'utf8');
    return this.uint32(bytes.length - 1).#append(bytes);
  }

  signature(text: string): this {
    return this.byte(text.length).#append(Buffer.from(`${text}\0`, 'latin1'));
  }

  /** A value that carries its own signature. */
  variant(signature: string, write: (writer: this) => void): this {
    this.signature(signature);
    write(this);
    return this;
  }

  /** @param alignment of an element. */
  array(alignment: number, write: (writer: this) => void): this {
    this.uint32(0);
    const lengthAt = this.#bytes.length - 4;
    this.align(alignment);
    const begin = this.#bytes.length;
    write(this);
    this.#bytes.writeUInt32LE(this.#bytes.length - begin, lengthAt);
    return this;
  }

  #append(more: Buffer): this {
    this.#bytes = Buffer.concat([this.#bytes, more]);
    return this;
  }
}

const METHOD_CALL = 1;
const METHOD_RETURN = 2;
const ERROR = 3;
const FIELD = { path: 1, interface: 2, member: 3, errorName: 4, replySerial: 5, destination: 6, signature: 8 } as const;

/** A call of a method. */
export interface MethodCall {
  readonly destination: string;
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  readonly signature: string;
  readonly write: (body: MessageWriter) => void;
}

/** @param serial tells the answer. */
export function encodeCall(call: MethodCall, serial: number): Buffer {
  const body = new MessageWriter();
  call.write(body);
  const field = (writer: MessageWriter, code: number, signature: string, text: string): void => {
    writer.align(8).byte(code);
    writer.variant(signature, (value) => (signature === 'g' ? value.signature(text) : value.string(text)));
  };
  const header = new MessageWriter().byte('l'.charCodeAt(0)).byte(METHOD_CALL).byte(0).byte(1);
  header.uint32(body.bytes.length).uint32(serial);
  header.array(8, (fields) => {
    field(fields, FIELD.path, 'o', call.path);
    field(fields, FIELD.interface, 's', call.interface);
    field(fields, FIELD.member, 's', call.member);
    field(fields, FIELD.destination, 's', call.destination);
    if (call.signature !== '') field(fields, FIELD.signature, 'g', call.signature);
  });
  return Buffer.concat([header.align(8).bytes, body.bytes]);
}

const FIXED_HEADER = 16;
const align8 = (size: number): number => Math.ceil(size / 8) * 8;

/** Bytes of the message that begins here; undefined where its header is not whole. */
export function messageLength(bytes: Buffer): number | undefined {
  if (bytes.length < FIXED_HEADER) return undefined;
  return align8(FIXED_HEADER + bytes.readUInt32LE(12)) + bytes.readUInt32LE(4);
}

/** The answer to a call: undefined for none, or the error's name and text. */
export interface Answer {
  readonly replySerial: number;
  readonly error: string | undefined;
}

/** Undefined for what answers no call, such as a signal. */
export function decodeAnswer(message: Buffer): Answer | undefined {
  const type = message[1];
  if (type !== METHOD_RETURN && type !== ERROR) return undefined;
  const end = FIXED_HEADER + message.readUInt32LE(12);
  const fields = readFields(message, end);
  const replySerial = Number(fields.get(FIELD.replySerial) ?? -1);
  if (type === METHOD_RETURN) return { replySerial, error: undefined };
  const name = String(fields.get(FIELD.errorName) ?? 'an error');
  const hasText = String(fields.get(FIELD.signature) ?? '').startsWith('s');
  return { replySerial, error: hasText ? `${readString(message, align8(end))} (${name})` : name };
}

function readFields(message: Buffer, end: number): Map<number, string | number> {
  const fields = new Map<number, string | number>();
  for (let at = FIXED_HEADER; at < end;) {
    at = align8(at);
    const code = message.readUInt8(at);
    const signature = message.toString('latin1', at + 2, at + 3);
    // Code, length of the signature, the signature of one letter, a zero.
    const value = at + 4;
    if (signature === 'u') {
      fields.set(code, message.readUInt32LE(value));
      at = value + 4;
    } else if (signature === 'g') {
      const length = message.readUInt8(value);
      fields.set(code, message.toString('latin1', value + 1, value + 1 + length));
      at = value + 1 + length + 1;
    } else {
      fields.set(code, readString(message, value));
      at = value + 4 + message.readUInt32LE(value) + 1;
    }
  }
  return fields;
}

function readString(message: Buffer, at: number): string {
  return message.toString('utf8', at + 4, at + 4 + message.readUInt32LE(at));
}
