import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, existsSync, mkdirSync, realpathSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { INDEX_NAME } from "../../src/published/layout.ts";
import { serveFiles } from "../ostree/static-server.ts";
import { Scratch } from "../repository/support.ts";
import { inProcess, readCases, type Step } from "../repository/vector-runner.ts";
import type { HttpAnswer } from "../support/http-server.ts";
import { listObjects } from "../support/repository-content.ts";

/** How a server sends symbolic links. */
type LinkMode = "plain" | "symlink" | "symlink-nl";

interface FetchCase extends Step {
  readonly name: string;
  readonly server_mode: LinkMode;
  readonly requests_sorted: readonly string[];
  /** What is below `objects/` afterwards. */
  readonly objects: readonly string[];
}

/** Where this program answers differently from composefs-rs 0.9.4, and why. */
interface Difference {
  readonly why: string;
  readonly rc: number;
  readonly stdout?: string;
}

const DIFFERENCES: Readonly<Record<string, Difference>> = {
  "name-with-colon": {
    why: "a name is never a URL",
    rc: 0,
    stdout:
      "content sha256:818a9451e1359584c490bf45098da3f178c833845343df352a834951d915247c\n" +
      "verity 91c768018318796a0daeb736e6c95ec53c44890c1074d39983893b3a2369fb76\n",
  },
  "oci-manifest": {
    why: "images that streams refer to are fetched as such",
    rc: 0,
    stdout:
      "content sha256:f0220709aee89fb72b1811dbf9454f5c1446ee17a6d57d3586cb12d543e5e234\n" +
      "verity a1d847bd96f7fcf41f567abea054b79cdea7b83b4caef974fa11a57dd20c37a3\n",
  },
};

const OBJECT = "objects/d7/d049d74ea18e96dc810cdb3c1475236b5c2361fb69749f0b06b4ba7b31a49b";

describe("fetch, as composefs-rs was recorded", () => {
  const scratch = new Scratch();
  const copy = new Scratch();
  let served: string;
  beforeAll(() => {
    served = copy.unpack("repos/full-sha256.tar.gz");
  });
  afterAll(() => {
    scratch[Symbol.dispose]();
    copy[Symbol.dispose]();
  });

  for (const fetchCase of readCases("fetch") as unknown as FetchCase[]) {
    const { name, argv, server_mode, requests_sorted, objects } = fetchCase;
    const difference = DIFFERENCES[name];
    test(difference === undefined ? name : `${name}: ${difference.why}`, async () => {
      using server = await serveFiles(served);
      server.fault = (path) => {
        if (name === "corrupt-object" && path === `/${OBJECT}`)
          return { status: 200, body: Buffer.alloc(9000, "x") };
        if (name === "missing-object" && path === `/${OBJECT}`) return { status: 404 };
        return server_mode === "plain" ? undefined : linkAnswer(served, path, server_mode);
      };
      rmSync(scratch.join("r"), { recursive: true, force: true });
      scratch.init();
      if (name === "partly-present") {
        mkdirSync(dirname(scratch.join("r", OBJECT)), { recursive: true });
        copyFileSync(join(served, OBJECT), scratch.join("r", OBJECT));
      }
      const words = argv.map((word) => word.replace("http://127.0.0.1:18473", server.url));
      const answer = await inProcess({ argv: words, rc: 0 }, scratch.path);
      const { rc, stdout } = difference ?? fetchCase;
      expect(`${answer.rc} ${answer.stderr}`).toStartWith(String(rc));
      expect(answer.stdout.toString()).toBe(stdout ?? "");
      if (difference !== undefined || rc !== 0) return;
      const requests = server.requests.map(decodeURIComponent).filter((path) => path !== `/${INDEX_NAME}`);
      expect(requests.sort()).toEqual([...requests_sorted]);
      expect(listObjects(scratch.join("r"))).toEqual(objects.map((path) => path.slice("objects/".length)));
    });
  }
});

/** What a server answers that knows of symbolic links. */
function linkAnswer(root: string, path: string, mode: LinkMode): HttpAnswer | undefined {
  const file = join(root, decodeURIComponent(path));
  if (!path.startsWith("/streams/") || !existsSync(file)) return undefined;
  const target = `../${realpathSync(file).slice(root.length + 1)}`;
  const headers = { "Content-Type": "text/x-symlink-target" };
  return { status: 200, headers, body: Buffer.from(mode === "symlink" ? target : `${target}\n`) };
}
