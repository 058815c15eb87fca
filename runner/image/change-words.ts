// The words of a Dockerfile's instructions, as docker splits them: quotes, backslashes, variables.

/** Values of variables. */
type Variables = ReadonlyMap<string, string>;

/** Splits at white space outside of quotes; quotes and backslashes go, and variables are replaced but in single quotes. */
export function wordsOf(text: string, variables: Variables): string[] {
  const words: string[] = [];
  const reader = new WordReader(text, variables);
  for (let word = reader.next(); word !== undefined; word = reader.next()) words.push(word);
  return words;
}

/** As one word, white space and all. */
export function expand(text: string, variables: Variables): string {
  return new WordReader(text, variables).rest();
}

const SPACE = /\s/;
// A name, or in braces a name and perhaps what stands for one that is not set (`:-`) or that is (`:+`).
const VARIABLE = /^\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)(?::([-+])([^}]*))?\})/;

class WordReader {
  readonly #text: string;
  readonly #variables: Variables;
  #at = 0;

  constructor(text: string, variables: Variables) {
    this.#text = text;
    this.#variables = variables;
  }

  next(): string | undefined {
    while (this.#at < this.#text.length && SPACE.test(this.#here)) this.#at += 1;
    return this.#at < this.#text.length ? this.#read((character) => SPACE.test(character)) : undefined;
  }

  rest(): string {
    return this.#read(() => false);
  }

  get #here(): string {
    return this.#text.charAt(this.#at);
  }

  #read(isEnd: (character: string) => boolean): string {
    let word = '';
    while (this.#at < this.#text.length && !isEnd(this.#here)) {
      if (this.#here === "'") word += this.#readSingleQuoted();
      else if (this.#here === '"') word += this.#readQuoted();
      else word += this.#readOne('');
    }
    return word;
  }

  #readSingleQuoted(): string {
    const end = this.#text.indexOf("'", this.#at + 1);
    if (end < 0) throw this.#unended();
    const inside = this.#text.slice(this.#at + 1, end);
    this.#at = end + 1;
    return inside;
  }

  #readQuoted(): string {
    this.#at += 1;
    let inside = '';
    while (this.#here !== '"') {
      if (this.#at >= this.#text.length) throw this.#unended();
      inside += this.#readOne('"$\\');
    }
    this.#at += 1;
    return inside;
  }

  #unended(): Error {
    return new Error(`a quote in ${JSON.stringify(this.#text)} does not end`);
  }

  /**
   * A character, what a backslash stands before, or a variable's value.
   *
   * @param special those before which a backslash goes; before others it stays. Empty: before all.
   */
  #readOne(special: string): string {
    const variable = this.#here === '$' ? VARIABLE.exec(this.#text.slice(this.#at)) : null;
    if (variable !== null) {
      this.#at += variable[0].length;
      return this.#valueOf(variable);
    }
    const character = this.#here;
    const next = this.#text.charAt(this.#at + 1);
    const isEscape = character === '\\' && next !== '' && (special === '' || special.includes(next));
    this.#at += isEscape ? 2 : 1;
    return isEscape ? next : character;
  }

  #valueOf([, plain, braced = '', operator, word = '']: RegExpExecArray): string {
    const value = this.#variables.get(plain ?? braced) ?? '';
    if (operator === '-') return value === '' ? word : value;
    return operator === '+' ? (value === '' ? '' : word) : value;
  }
}
