import { printable } from "../printable.ts";

/** Text that is HTML already. Only `html` and `raw` make it, so nothing gets into a page without being escaped. */
export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export type Content = Html | string | number | undefined | readonly Content[];

/** HTML as it is written in this program's source. Everything that is filled in is escaped unless it is HTML itself. */
export function html(parts: TemplateStringsArray, ...values: readonly Content[]): Html {
  let text = parts[0]!;
  for (const [i, value] of values.entries()) text += render(value) + parts[i + 1]!;
  return new Html(text);
}

/** For texts of our own that are no HTML but must not be escaped, such as a style sheet. */
export function raw(text: string): Html {
  return new Html(text);
}

function render(content: Content): string {
  if (content === undefined) return "";
  if (content instanceof Html) return content.text;
  if (typeof content === "object") return content.map(render).join("");
  return escapeText(String(content));
}

/**
 * A text for element content and quoted attributes. Control characters, and characters that turn the direction of
 * writing, so that a name can look like another one, are written as escapes.
 */
export function escapeText(text: string): string {
  return printable(text.toWellFormed())
    .replace(
      /[\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
      (c) => `\\u${c.charCodeAt(0).toString(16)}`,
    )
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("'", "&#39;");
}
