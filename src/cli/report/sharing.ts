import { formatBytes } from "../format-bytes.ts";
import type { Html } from "./html.ts";
import { box, CHARACTER, label, type Picture } from "./picture.ts";

/** One row of the pictures of sharing. */
export interface SharingRow {
  readonly name: string;
  readonly needs: number;
  readonly own: number;
}

const ROW = 40;
const BAR = 12;

/** A bar for each image: what only it needs, and what it shares with others. */
export function sharingBars(rows: readonly SharingRow[], width: number): Picture {
  const most = Math.max(1, ...rows.map(({ needs }) => needs));
  const content = rows.flatMap(({ name, needs, own }, i): Html[] => {
    const y = i * ROW;
    const total = Math.max(2, (needs / most) * width);
    const part = needs === 0 ? 0 : (own / needs) * total;
    const text = `${formatBytes(needs)}, own ${formatBytes(own)}`;
    const title = `${name}: ${text}`;
    return [
      label(0, y + 13, name, { room: width - (text.length + 2) * CHARACTER }),
      label(width, y + 13, text, { className: "quiet", end: true }),
      box(0, y + 19, total, BAR, { className: "shared", title }),
      ...(part > 0.5 ? [box(0, y + 19, part, BAR, { className: "own", title })] : []),
    ];
  });
  return { width, height: Math.max(1, rows.length * ROW - 4), content };
}

const LABEL_HEIGHT = 18;
const MAX_CELL = 44;
/** Cells with more than this share are dark enough for a light number. */
const LIGHT_CELL = 0.7;
/** Cells below this size have no room for a number. */
const MIN_NUMBERED = 27;

/**
 * A table of squares: how much of the image of a row the image of a column has, too.
 * @param shared bytes; what an image needs where row and column are the same.
 */
export function sharingMatrix(
  rows: readonly SharingRow[],
  shared: readonly (readonly number[])[],
  width: number,
): Picture {
  const labels = Math.min(width * 0.42, 300);
  const cell = Math.min(MAX_CELL, (width - labels) / rows.length);
  const content: Html[] = [];
  // Numbers of columns need some room.
  const step = Math.max(1, Math.ceil((2 * CHARACTER + 2) / cell));
  for (let i = 0; i < rows.length; i += step) {
    const text = String(i + 1);
    content.push(
      label(labels + (i + 0.5) * cell + (text.length * CHARACTER) / 2, 12, text, {
        className: "quiet",
        end: true,
      }),
    );
  }
  for (const [i, { name, needs }] of rows.entries()) {
    const y = LABEL_HEIGHT + i * cell;
    if (cell >= 11)
      content.push(label(0, y + cell / 2 + 4, `${i + 1} ${name}`, { room: labels - CHARACTER }));
    for (const [j, other] of rows.entries()) {
      const bytes = shared[i]![j]!;
      const ratio = needs === 0 ? 0 : bytes / needs;
      const percent = Math.round(ratio * 100);
      const title =
        i === j
          ? `${name}: ${formatBytes(needs)}`
          : `${other.name} has ${percent} % of ${name}: ${formatBytes(bytes)}`;
      const x = labels + j * cell;
      const size = cell - Math.min(2, cell / 8);
      content.push(box(x, y, size, size, { className: "empty", title }));
      if (ratio > 0)
        content.push(box(x, y, size, size, { className: "cell", title, opacity: 0.08 + 0.92 * ratio }));
      if (cell >= MIN_NUMBERED && i !== j) {
        const text = String(percent);
        const className = ratio > LIGHT_CELL ? "on" : "off";
        content.push(
          label(x + (size + text.length * CHARACTER) / 2, y + size / 2 + 4, text, { className, end: true }),
        );
      }
    }
  }
  return { width, height: LABEL_HEIGHT + rows.length * cell, content };
}
