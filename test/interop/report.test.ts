import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { cfsctlOk } from "../support/cfsctl.ts";
import { CHROMIUM, type View, type Visit, visit } from "../support/chromium.ts";
import { HOSTILE, sharedImagesRepository } from "../support/shared-images.ts";
import { tempDir } from "../support/temp.ts";

/** The report as a browser shows it. */

const browserTest = CHROMIUM === null ? test.skip : test;
if (CHROMIUM === null) console.log("skipped: needs chromium");

/** What can be measured of being readable. */
const MEASURE = `(() => {
  document.querySelectorAll("details").forEach((d) => { d.open = true; });
  const shown = (e) => e.getClientRects().length > 0;
  const texts = [...document.querySelectorAll("svg text")].filter(shown);
  const size = (e) => parseFloat(getComputedStyle(e).fontSize) * e.ownerSVGElement.getScreenCTM().a;
  const svgs = [...document.querySelectorAll("svg")].filter(shown);
  const outside = texts.filter((t) => {
    const [a, b] = [t.getBoundingClientRect(), t.ownerSVGElement.getBoundingClientRect()];
    return a.left < b.left - 1 || a.right > b.right + 1;
  });
  return {
    title: document.title,
    scripts: document.querySelectorAll("script, img, iframe, object, embed, form, link:not([rel=icon])").length,
    handlers: [...document.querySelectorAll("*")].filter((e) => [...e.attributes].some((a) => /^on/i.test(a.name))).length,
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    svgs: svgs.length,
    smallest: Math.min(...texts.map(size)),
    outside: outside.map((t) => t.textContent),
    text: document.body.innerText,
    colors: [getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor],
  };
})()`;

interface Measured {
  readonly title: string;
  readonly scripts: number;
  readonly handlers: number;
  readonly overflow: number;
  readonly svgs: number;
  readonly smallest: number;
  readonly outside: readonly string[];
  readonly text: string;
  readonly colors: readonly [string, string];
}

const VIEWS = [1280, 400].flatMap((width) =>
  (["light", "dark"] as const).map((scheme): View => ({ width, scheme, expression: MEASURE })),
);

describe("report in a browser", () => {
  browserTest(
    "says nothing on the console, asks for nothing, and is readable at every width",
    async () => {
      using dir = tempDir();
      const repo = sharedImagesRepository(dir);
      const page = dir.join("report.html");
      cfsctlOk([...repo, "report", "--html", page]);
      const visits = await visit(`file://${page}`, VIEWS);
      for (const [i, { messages, requests, value, screenshot }] of visits.entries()) {
        const { width, scheme } = VIEWS[i]!;
        const where = `${width} ${scheme}`;
        expect({ where, messages }).toEqual({ where, messages: [] });
        expect(requests.filter((url) => url !== `file://${page}` && url !== "data:,")).toEqual([]);
        const { text, colors, smallest, ...measured } = value as Measured;
        expect({ where, ...measured }).toEqual({
          where,
          title: `Repository ${dir.join("repo")}`,
          scripts: 0,
          handlers: 0,
          overflow: 0,
          svgs: 3,
          outside: [],
        });
        expect(smallest).toBeGreaterThanOrEqual(11);
        for (const name of ["web/shop:2.0", HOSTILE.tag, HOSTILE.image, `/${HOSTILE.path}`])
          expect(text).toContain(name);
        // Characters that turn the direction of writing are written out.
        expect(text).toContain("\\u202egpj.exe\\u2028");
        expect(contrast(colors)).toBeGreaterThan(10);
        expect(screenshot.length).toBeGreaterThan(20_000);
        if (process.env.REPORT_SCREENSHOTS !== undefined)
          writeFileSync(`${process.env.REPORT_SCREENSHOTS}/report-${width}-${scheme}.png`, screenshot);
      }
    },
    120_000,
  );
});

test.skipIf(CHROMIUM === null)(
  "what a page says and asks for is noticed",
  async () => {
    using dir = tempDir();
    const page = dir.join("page.html");
    writeFileSync(
      page,
      "<img src='http://127.0.0.1:9/x.png'><script>console.log('hello'); nothing()</script>",
    );
    const view = { width: 400, scheme: "light", expression: "innerWidth" } as const;
    const [{ messages, requests, value }] = (await visit(`file://${page}`, [view])) as [Visit];
    expect(value).toBe(400);
    expect(requests).toContain("http://127.0.0.1:9/x.png");
    expect(messages.join()).toContain("hello");
    expect(messages.join()).toContain("nothing is not defined");
  },
  60_000,
);

/** Ratio of two colours' luminances (WCAG 2.2, "contrast ratio"). @param colors as `rgb(r, g, b)`. */
function contrast(colors: readonly string[]): number {
  const [a, b] = colors.map((color) => {
    const [red, green, blue] = [...color.matchAll(/\d+/g)].map(([digits]) => {
      const value = Number(digits) / 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red! + 0.7152 * green! + 0.0722 * blue! + 0.05;
  });
  return Math.max(a! / b!, b! / a!);
}
