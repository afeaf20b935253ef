import { type Html, html, raw } from "./html.ts";

/** A drawing for one width; heights follow from what is in it. Lengths are pixels. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly content: readonly Html[];
}

/** Widths that drawings are made for: a picture that is only scaled has no readable text on a telephone. */
export const WIDE = 960;
export const NARROW = 340;

/** Width of a character of the pictures' font, 12 pixels high. */
export const CHARACTER = 7.25;

/** Both forms of a picture; the style sheet shows the one that fits. @param label what it shows, for who can't see it. */
export function pictures(label: string, draw: (width: number) => Picture): Html {
  return html`${[form(label, "wide", draw(WIDE)), form(label, "narrow", draw(NARROW))]}`;
}

function form(label: string, name: string, { width, height, content }: Picture): Html {
  return html`<svg class="${name}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${label}">${content}</svg>`;
}

/** A text that starts at `x`, or ends there; cut to fit. */
export function label(
  x: number,
  y: number,
  text: string,
  { room, className, end = false }: { room?: number; className?: string; end?: boolean } = {},
): Html {
  const shown = room === undefined ? text : fit(text, room);
  const anchor = end ? raw(' text-anchor="end"') : "";
  const look = className === undefined ? "" : html` class="${className}"`;
  return html`<text x="${round(x)}" y="${round(y)}"${anchor}${look}>${shown}</text>`;
}

/** A bar or cell. @param title what a pointer on it shows. */
export function box(
  x: number,
  y: number,
  width: number,
  height: number,
  { className, title, opacity }: { className: string; title?: string; opacity?: number },
): Html {
  const look = opacity === undefined ? "" : html` fill-opacity="${round(opacity)}"`;
  return html`<rect x="${round(x)}" y="${round(y)}" width="${round(width)}" height="${round(height)}" rx="2" class="${className}"${look}>${
    title === undefined ? "" : html`<title>${title}</title>`
  }</rect>`;
}

/** The beginning and the end of a text that has no room: names often begin in the same way. @param room in pixels. */
export function fit(text: string, room: number): string {
  const columns = Math.max(3, Math.floor(room / CHARACTER));
  if (Bun.stringWidth(text) <= columns) return text;
  const characters = [...SEGMENTER.segment(text)].map(({ segment }) => segment);
  const head = Math.floor((columns - 1) / 3);
  const tail = columns - 1 - head;
  return `${upTo(head, characters).join("")}…${upTo(tail, characters.toReversed()).reverse().join("")}`;
}

const SEGMENTER = new Intl.Segmenter("en");

/** The first characters that fit. */
function upTo(columns: number, characters: readonly string[]): string[] {
  let width = 0;
  const end = characters.findIndex((character) => {
    width += Bun.stringWidth(character);
    return width > columns;
  });
  return characters.slice(0, end < 0 ? undefined : end);
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
