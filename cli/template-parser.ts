import { isFunction } from './template-functions.ts';

/** What an action computes. */
export type Expression =
  | { readonly kind: 'literal'; readonly value: string | number | boolean | undefined }
  | { readonly kind: 'field'; readonly fromRoot: boolean; readonly path: readonly string[] }
  | { readonly kind: 'member'; readonly of: Expression; readonly path: readonly string[] }
  | { readonly kind: 'call'; readonly name: string; readonly parameters: readonly Expression[] };

/** A part of a template. */
export type Node =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'action'; readonly expression: Expression }
  | {
      readonly kind: 'if' | 'range' | 'with';
      readonly expression: Expression;
      readonly then: readonly Node[];
      readonly otherwise: readonly Node[];
    };

const ACTION = /\{\{(- )?((?:"(?:\\.|[^"\\])*"|`[^`]*`|(?!\}\}).)*?)( -)?\}\}/gs;
const TOKEN =
  /\s*(?:("(?:\\.|[^"\\])*")|`([^`]*)`|(-?\d+(?:\.\d+)?)|(\$)|((?:\.[A-Za-z_]\w*)+)|(\.)|([A-Za-z_]\w*)|([|()]))/y;

type Piece = { readonly text: string } | { readonly action: string };

/** Reads a template. Outside of actions, `\t` and `\n` mean a tab and a line's end, as docker has it. */
export function parseTemplate(text: string): Node[] {
  const pieces = new Pieces(split(text));
  const nodes = pieces.until([]);
  return nodes;
}

function split(text: string): Piece[] {
  const pieces: Piece[] = [];
  let at = 0;
  let trims = false;
  const add = (part: string, trimsAfter: boolean): void => {
    const begun = trims ? part.trimStart() : part;
    const ended = trimsAfter ? begun.trimEnd() : begun;
    if (ended.includes('{{')) throw new Error(`template ${JSON.stringify(text)}: an action is not closed by }}`);
    if (ended !== '') pieces.push({ text: ended.replaceAll('\\t', '\t').replaceAll('\\n', '\n') });
  };
  for (const match of text.matchAll(ACTION)) {
    add(text.slice(at, match.index), match[1] !== undefined);
    pieces.push({ action: (match[2] ?? '').trim() });
    trims = match[3] !== undefined;
    at = match.index + match[0].length;
  }
  add(text.slice(at), false);
  return pieces;
}

class Pieces {
  readonly #pieces: readonly Piece[];
  #at = 0;
  /** The word that ended the last block. */
  #end = '';

  constructor(pieces: readonly Piece[]) {
    this.#pieces = pieces;
  }

  /** Nodes up to an action that is one of `ends`, or without such, up to the end of the template. */
  until(ends: readonly string[]): Node[] {
    const nodes: Node[] = [];
    for (;;) {
      const piece = this.#pieces[this.#at++];
      if (piece === undefined) {
        if (ends.length > 0) throw new Error('a block has no {{end}}');
        return nodes;
      }
      const word = 'action' in piece ? piece.action : '';
      if (word === 'end' || word === 'else') {
        if (!ends.includes(word)) throw new Error(`{{${word}}} belongs to no block`);
        this.#end = word;
        return nodes;
      }
      const node = this.#node(piece);
      if (node !== undefined) nodes.push(node);
    }
  }

  #node(piece: Piece): Node | undefined {
    if ('text' in piece) return { kind: 'text', text: piece.text };
    if (piece.action.startsWith('/*')) return undefined;
    const [, word, rest = ''] = /^(if|range|with)\s+(.*)$/s.exec(piece.action) ?? [];
    if (word === undefined) return { kind: 'action', expression: parseExpression(piece.action) };
    const then = this.until(['end', 'else']);
    const otherwise = this.#end === 'else' ? this.until(['end']) : [];
    return { kind: word as 'if' | 'range' | 'with', expression: parseExpression(rest), then, otherwise };
  }
}

function parseExpression(text: string): Expression {
  const tokens = new Tokens(text);
  const expression = tokens.pipeline();
  tokens.end();
  return expression;
}

class Tokens {
  readonly #text: string;
  readonly #tokens: RegExpExecArray[] = [];
  #at = 0;

  constructor(text: string) {
    this.#text = text;
    const token = new RegExp(TOKEN);
    while (token.lastIndex < text.trimEnd().length) {
      const match = token.exec(text);
      if (match === null) throw new Error(`${JSON.stringify(text)} cannot be understood`);
      this.#tokens.push(match);
    }
  }

  end(): void {
    if (this.#at < this.#tokens.length) throw new Error(`${JSON.stringify(this.#text)} goes on after its end`);
  }

  /** What comes before a bar is the last parameter of what comes after it. */
  pipeline(): Expression {
    let value = this.#command(undefined);
    while (this.#take('|')) value = this.#command(value);
    return value;
  }

  #take(symbol: string): boolean {
    if (this.#tokens[this.#at]?.[8] !== symbol) return false;
    this.#at += 1;
    return true;
  }

  #command(piped: Expression | undefined): Expression {
    const name = this.#tokens[this.#at]?.[7];
    if (name === undefined || !isFunction(name)) {
      if (piped !== undefined) throw new Error(`in ${JSON.stringify(this.#text)} no function comes after the bar`);
      return this.#operand();
    }
    this.#at += 1;
    const parameters: Expression[] = [];
    while (this.#startsOperand()) parameters.push(this.#operand());
    return { kind: 'call', name, parameters: piped === undefined ? parameters : [...parameters, piped] };
  }

  #startsOperand(): boolean {
    const token = this.#tokens[this.#at];
    return token !== undefined && token[8] !== '|' && token[8] !== ')';
  }

  #operand(): Expression {
    const token = this.#tokens[this.#at++];
    if (token === undefined) throw new Error('an action is empty');
    const [, quoted, raw, number, dollar, path, dot, word, symbol] = token;
    if (quoted !== undefined) return { kind: 'literal', value: unquote(quoted) };
    if (raw !== undefined) return { kind: 'literal', value: raw };
    if (number !== undefined) return { kind: 'literal', value: Number(number) };
    if (path !== undefined) return { kind: 'field', fromRoot: false, path: path.slice(1).split('.') };
    if (dot !== undefined) return { kind: 'field', fromRoot: false, path: [] };
    if (dollar !== undefined) return { kind: 'field', fromRoot: true, path: this.#path() };
    if (word !== undefined) return wordOf(word);
    if (symbol !== '(') throw new Error(`${JSON.stringify(this.#text)} has a ${symbol ?? ''} too many`);
    const inner = this.pipeline();
    if (!this.#take(')')) throw new Error(`${JSON.stringify(this.#text)} has no closing parenthesis`);
    const members = this.#path();
    return members.length === 0 ? inner : { kind: 'member', of: inner, path: members };
  }

  #path(): string[] {
    const path = this.#tokens[this.#at]?.[5];
    if (path === undefined || /^\s/.test(this.#tokens[this.#at]?.[0] ?? '')) return [];
    this.#at += 1;
    return path.slice(1).split('.');
  }
}

function unquote(quoted: string): string {
  try {
    return JSON.parse(quoted) as string;
  } catch {
    throw new Error(`${quoted} is not a string`);
  }
}

function wordOf(word: string): Expression {
  if (word === 'true' || word === 'false') return { kind: 'literal', value: word === 'true' };
  if (word === 'nil') return { kind: 'literal', value: undefined };
  if (isFunction(word)) return { kind: 'call', name: word, parameters: [] };
  throw new Error(`there is no function ${JSON.stringify(word)}`);
}
