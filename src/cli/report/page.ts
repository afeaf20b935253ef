import { bytesText } from "../../tree/diff-text.ts";
import { formatBytes } from "../format-bytes.ts";
import type { NamedFile } from "../usage/largest.ts";
import { bytesWithoutSharing, largestRoots, type MeasuredRepository, usedBytes } from "../usage/measure.ts";
import type { LayerFacts, UsageRoot } from "../usage/roots.ts";
import { tagChanges } from "./changes.ts";
import { growthSteps } from "./growth.ts";
import { type Content, type Html, html, raw } from "./html.ts";
import { pictures } from "./picture.ts";
import { type SharingRow, sharingBars, sharingMatrix } from "./sharing.ts";
import { STYLE } from "./style.ts";

export interface ReportFacts {
  /** As the user named it. */
  readonly path: string;
  readonly algorithm: string;
  readonly requiresVerity: boolean;
  readonly measured: MeasuredRepository;
  readonly files: readonly NamedFile[];
  readonly problems: readonly string[];
  /** When and by what it was written. */
  readonly written: string;
}

/** A page has to stay readable, and small enough for a browser: of more than this, the rest is only counted. */
const MAX_LISTED = 500;
const MAX_BARS = 40;
const MAX_CELLS = 24;
const MAX_STEPS = 60;
const MAX_CHANGES = 100;
const MAX_PROBLEMS = 50;

/** The report as one page that needs nothing else: no script, no file, no network. */
export function reportPage(facts: ReportFacts): string {
  const policy = `default-src 'none'; style-src '${styleHash()}'; img-src data:; base-uri 'none'; form-action 'none'`;
  const title = `Repository ${facts.path}`;
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<link rel="icon" href="data:,">
<title>${title}</title>
<style>${raw(STYLE)}</style>
</head>
<body>
<main>
<header>
<h1>${title}</h1>
<p>${facts.algorithm}, ${facts.requiresVerity ? "requires fs-verity" : "does without fs-verity"}</p>
</header>
${[tiles(facts), problems(facts), images(facts), sharing(facts), growth(facts), changes(facts), largest(facts)]}
<footer>${facts.written}</footer>
</main>
</body>
</html>
`.text;
}

function styleHash(): string {
  return `sha256-${new Bun.CryptoHasher("sha256").update(STYLE).digest("base64")}`;
}

function tiles({ measured }: ReportFacts): Html {
  const { usage, roots } = measured;
  const without = bytesWithoutSharing(measured);
  const saved = Math.max(0, without - usedBytes(measured));
  const share = without === 0 ? 0 : Math.round((saved / without) * 100);
  return html`<dl class="tiles">
${[
  tile("Images and commits", count(roots.length), ""),
  tile("Stored", formatBytes(usage.total.bytes), `${count(usage.total.count)} objects`),
  tile("Saved by sharing", `${share} %`, `${formatBytes(saved)} of ${formatBytes(without)}`),
  tile("Used by nothing", formatBytes(usage.unused.bytes), `${count(usage.unused.count)} objects`),
]}</dl>
`;
}

function tile(name: string, value: string, more: string): Html {
  return html`<div class="tile"><dt>${name}</dt><dd>${value}${more === "" ? "" : html`<small>${more}</small>`}</dd></div>
`;
}

function problems({ problems }: ReportFacts): Content {
  if (problems.length === 0) return "";
  return section(
    "Problems",
    "This was found on the way; fsck looks for damage thoroughly.",
    html`<ul class="warning">${problems.slice(0, MAX_PROBLEMS).map((text) => html`<li>${text}</li>`)}</ul>`,
    rest(problems.length, MAX_PROBLEMS),
  );
}

function images({ measured }: ReportFacts): Content {
  const { roots, usage } = measured;
  const layerUses = new Map<string, number>();
  for (const { container } of roots)
    for (const diffId of new Set(container?.layers.map((layer) => layer.diffId)))
      layerUses.set(diffId, (layerUses.get(diffId) ?? 0) + 1);
  return section(
    "Images",
    "The oldest first. Own is what nothing else needs; added is what none of those above needs.",
    html`<div class="row head"><span>Name</span><span class="number">Size</span>
<span class="number extra">Own</span><span class="number extra">Added</span></div>`,
    roots.slice(0, MAX_LISTED).map((root, i) => {
      const { needs, own, added } = usage.roots[i]!;
      return html`<details>
<summary><span class="name">${root.names.join(", ")}<small>${origin(root)}</small></span>
<span class="number">${formatBytes(needs.bytes)}</span><span class="number extra">${formatBytes(own.bytes)}</span>
<span class="number extra">${formatBytes(added.bytes)}</span></summary>
<div class="inside"><dl>
${[
  property("Objects", `${count(needs.count)}, ${formatBytes(needs.bytes)}`),
  property("Own", `${count(own.count)}, ${formatBytes(own.bytes)}`),
  property("Added", `${count(added.count)}, ${formatBytes(added.bytes)}`),
  property("Manifest", root.container?.digest),
  property("Object", root.id),
]}</dl>
${layers(root.container?.layers ?? [], layerUses)}</div>
</details>
`;
    }),
    roots.length === 0 ? html`<p>Nothing in this repository has a name.</p>` : "",
    rest(roots.length, MAX_LISTED),
  );
}

function origin({ kind, created, container }: UsageRoot): Content {
  const parts = [KINDS[kind], container?.platform ?? container?.type ?? "", dateOf(created)];
  return parts
    .filter((part) => part !== "")
    .map((part, i) => html`${i === 0 ? "" : " · "}<span>${cut(part, 80)}</span>`);
}

const KINDS: Readonly<Record<UsageRoot["kind"], string>> = {
  image: "EROFS image",
  container: "container image",
  artifact: "artifact",
  commit: "ostree commit",
  index: "part of an index",
  stream: "stream",
};

function property(name: string, value: string | undefined): Content {
  return value === undefined
    ? ""
    : html`<dt>${name}</dt><dd class="mono">${value}</dd>
`;
}

function layers(layers: readonly LayerFacts[], uses: ReadonlyMap<string, number>): Content {
  if (layers.length === 0) return "";
  return html`<table><thead><tr><th>Layer</th><th class="number">Published</th><th class="number">Images</th></tr></thead>
<tbody>${layers.slice(0, MAX_LISTED).map(
    ({ diffId, size, createdBy }) => html`<tr><td class="mono" title="${diffId}">${shortDigest(diffId)}${
      createdBy === undefined ? "" : html`<small>${cut(createdBy, 300)}</small>`
    }</td>
<td class="number">${formatBytes(size)}</td><td class="number">${count(uses.get(diffId) ?? 0)}</td></tr>
`,
  )}</tbody></table>
`;
}

function sharing({ measured }: ReportFacts): Content {
  const { roots, usage } = measured;
  if (roots.length === 0) return "";
  const rowsOf = (numbers: readonly number[]) =>
    numbers.map((number): SharingRow => {
      const { needs, own } = usage.roots[number]!;
      return { name: roots[number]!.names[0]!, needs: needs.bytes, own: own.bytes };
    });
  const bars = rowsOf(largestRoots(measured, MAX_BARS));
  const compared = largestRoots(measured, MAX_CELLS);
  const cells = rowsOf(compared);
  const shared = usage.sharedBytes(compared);
  return section(
    "Sharing",
    "What each image needs, and how much of it others need as well.",
    html`<ul class="legend"><li class="is-own">its own</li><li class="is-shared">shared with others</li></ul>`,
    pictures("What each image needs of its own, and shares with others", (width) => sharingBars(bars, width)),
    rest(roots.length, MAX_BARS, "the largest are shown"),
    roots.length < 2
      ? ""
      : html`<p>Percent of the image of a row that the image of a column has, too.</p>
${pictures("How much of each image every other image has, too", (width) => sharingMatrix(cells, shared, width))}
${rest(roots.length, MAX_CELLS, "the largest are shown")}`,
  );
}

function growth({ measured }: ReportFacts): Content {
  const { roots, usage } = measured;
  if (roots.length < 2) return "";
  const first = Math.max(0, roots.length - MAX_STEPS);
  const start = usage.roots.slice(0, first).reduce((sum, { added }) => sum + added.bytes, 0);
  const rows = roots.slice(first).map(({ names, created }, i) => ({
    name: names[0]!,
    when: dateOf(created),
    added: usage.roots[first + i]!.added.bytes,
  }));
  return section(
    "Growth",
    "What each image added to those before it, in the order in which they were made.",
    html`<ul class="legend"><li class="is-before">there before</li><li class="is-own">added</li></ul>`,
    pictures("What each image added to the repository", (width) => growthSteps(start, rows, width)),
    rest(roots.length, MAX_STEPS, "the newest are shown"),
  );
}

function changes({ measured }: ReportFacts): Content {
  const found = tagChanges(measured);
  if (found.length === 0) return "";
  const name = (number: number) => measured.roots[number]!.names[0]!;
  return section(
    "From tag to tag",
    "What an update brings that the one before did not have, and what it no longer needs.",
    html`<table><thead><tr><th>Tag</th><th class="number">New</th><th class="number">Gone</th></tr></thead>
<tbody>${found.slice(0, MAX_CHANGES).map(
      ({ from, to, added, dropped }) => html`<tr><td>${name(to)}<small>after ${name(from)}</small></td>
<td class="number">${formatBytes(added)}</td><td class="number">${formatBytes(dropped)}</td></tr>
`,
    )}</tbody></table>`,
    rest(found.length, MAX_CHANGES),
  );
}

function largest({ files, measured }: ReportFacts): Content {
  if (files.length === 0) return "";
  return section(
    "Largest files",
    "Every content is stored once, whatever its names; one of them is shown.",
    html`<table><thead><tr><th>Path</th><th class="number">Size</th><th class="number">Images</th></tr></thead>
<tbody>${files.map(
      ({ path, id, size, roots }) => html`<tr><td title="${id}">${
        path === undefined ? `object ${id.slice(0, 16)}…` : cut(bytesText(path), 400)
      }<small>${measured.roots[roots[0]!]!.names[0]}</small></td>
<td class="number">${formatBytes(size)}</td><td class="number">${count(roots.length)}</td></tr>
`,
    )}</tbody></table>`,
  );
}

function section(title: string, description: string, ...content: readonly Content[]): Html {
  return html`<section>
<h2>${title}</h2>
<p>${description}</p>
${content}
</section>
`;
}

function rest(total: number, shown: number, what = ""): Content {
  if (total <= shown) return "";
  return html`<p>${what === "" ? "" : `${what}, `}${count(total - shown)} more are not</p>`;
}

function dateOf(created: number | undefined): string {
  if (created === undefined) return "";
  const date = new Date(created);
  return Number.isNaN(date.getTime()) ? "" : date.toISOString().slice(0, 10);
}

function shortDigest(digest: string): string {
  return digest.slice(digest.indexOf(":") + 1).slice(0, 12);
}

function cut(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length)}…` : text;
}

function count(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}
