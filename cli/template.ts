import { printable } from './printable.ts';
import { call, isTrue, Printable, textOf, type Value } from './template-functions.ts';
import { type Expression, type Node, parseTemplate } from './template-parser.ts';

/** Members by name, as `.Name` finds them. */
export type Row = Readonly<Record<string, unknown>>;

/** A template of Go's text/template, as far as docker's users write them for --format. */
export class Template {
  readonly #nodes: readonly Node[];
  readonly #text: string;

  /** @throws where it cannot be understood. */
  constructor(text: string) {
    this.#text = text;
    this.#nodes = parseTemplate(text);
  }

  /** The text for one row, nothing in it that a terminal obeys but what the template itself says. */
  execute(data: unknown): string {
    try {
      return render(this.#nodes, data, data);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new Error(`template ${JSON.stringify(this.#text)}: ${why}`, { cause: error });
    }
  }
}

function render(nodes: readonly Node[], data: unknown, root: unknown): string {
  return nodes.map((node) => renderNode(node, data, root)).join('');
}

function renderNode(node: Node, data: unknown, root: unknown): string {
  if (node.kind === 'text') return node.text;
  const value = evaluate(node.expression, data, root);
  if (node.kind === 'action') return value instanceof Printable ? value.text : printable(textOf(value));
  if (node.kind === 'if') return render(isTrue(value) ? node.then : node.otherwise, data, root);
  if (node.kind === 'with') return isTrue(value) ? render(node.then, value, root) : render(node.otherwise, data, root);
  const items = Array.isArray(value) ? (value as unknown[]) : Object.values((value ?? {}) as Row);
  if (items.length === 0) return render(node.otherwise, data, root);
  return items.map((item) => render(node.then, item, root)).join('');
}

function evaluate(expression: Expression, data: unknown, root: unknown): Value {
  switch (expression.kind) {
    case 'literal':
      return expression.value;
    case 'field':
      return expression.path.reduce<Value>(member, expression.fromRoot ? root : data);
    case 'call':
      return call(
        expression.name,
        expression.parameters.map((parameter) => evaluate(parameter, data, root)),
      );
    case 'member':
      return expression.path.reduce<Value>(member, evaluate(expression.of, data, root));
  }
}

function member(value: Value, name: string): Value {
  if (typeof value !== 'object' || value === null) throw new Error(`${textOf(value)} has no field .${name}`);
  if (Object.hasOwn(value, name)) return (value as Row)[name];
  throw new Error(`there is no field .${name}; there are ${Object.keys(value).join(', ')}`);
}
