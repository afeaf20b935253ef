import { formatBytes } from "../format-bytes.ts";
import type { Html } from "./html.ts";
import { box, CHARACTER, fit, label, type Picture } from "./picture.ts";

/** What one image added to what was there before. */
export interface GrowthRow {
  readonly name: string;
  /** A date, or nothing. */
  readonly when: string;
  readonly added: number;
}

const ROW = 40;
const BAR = 12;

/** Steps: each bar begins where those before it have led to. @param start bytes that were there before the first row. */
export function growthSteps(start: number, rows: readonly GrowthRow[], width: number): Picture {
  const total = Math.max(
    1,
    rows.reduce((sum, { added }) => sum + added, start),
  );
  let before = start;
  const content = rows.flatMap(({ name, when, added }, i): Html[] => {
    const y = i * ROW;
    const from = (before / total) * width;
    before += added;
    const text = `+${formatBytes(added)} = ${formatBytes(before)}`;
    const title = `${name}: ${text}`;
    const date = when === "" ? "" : ` ${when}`;
    const room = width - (text.length + date.length + 2) * CHARACTER;
    return [
      label(0, y + 13, fit(name, room) + date),
      label(width, y + 13, text, { className: "quiet", end: true }),
      ...(from > 0 ? [box(0, y + 19, from, BAR, { className: "before", title })] : []),
      box(Math.min(from, width - 2), y + 19, Math.max(2, (added / total) * width), BAR, {
        className: "own",
        title,
      }),
    ];
  });
  return { width, height: Math.max(1, rows.length * ROW - 4), content };
}
