import { describe, expect, test } from "bun:test";
import { runCfsctl } from "../support/cfsctl.ts";
import { tempDir } from "../support/temp.ts";
import { serveFiles } from "./static-server.ts";
import { fixtureJson, linksOf, unpackRepository } from "./support.ts";

interface Session {
  /** The repository that is served. */
  readonly root: string;
  /** `-fail SUBSTRING=STATUS:N`: the answer to the first N requests, or to all (-1), whose path has the substring. */
  readonly server: string;
  readonly steps: readonly {
    readonly argv: readonly string[];
    readonly rc: number;
    readonly stdout: string;
  }[];
  readonly requests: readonly string[];
  readonly links_after: Readonly<Record<string, string>>;
}

/** Where composefs-rs fails and we don't, by the fault. */
const TOLERATED: ReadonlySet<string> = new Set([
  "-fail dirmeta=503:1",
  "-fail superblock=500:1",
  "-fail DzEM/0=404:1",
]);

/** Takes as long as it takes to try it often enough. */
const TOO_SLOW = "-fail summary=500:-1";

const sessions = fixtureJson<Session[]>("transcripts/remote-sha256.json").filter(
  ({ server }) => server !== TOO_SLOW,
);
const isObject = (request: string) => request.includes("/objects/");

const shown = (stdout: string, isRepeated: boolean) =>
  isRepeated ? stdout.replace(/^(verity|objects) .*$/gm, "") : stdout;

describe("sessions of composefs-rs with a server", () => {
  test.each(sessions.map((session, i) => [`${i} ${session.root} ${session.server}`, session] as const))(
    "%s",
    async (_, session) => {
      using directory = tempDir();
      using server = await serveFiles(unpackRepository(session.root, directory.path));
      const [, part, status, times] = /^-fail (.*)=(\d+):(-?\d+)$/.exec(session.server) ?? [];
      let left = times === "-1" ? Infinity : Number(times ?? 0);
      server.fault = (path) => {
        if (left <= 0 || !path.includes(part!)) return undefined;
        left--;
        return { status: Number(status) };
      };
      const repository = directory.join("cfs");
      await runCfsctl(["--repo", repository, "init", "--insecure", "--algorithm", "fsverity-sha256-12"]);
      const seen = new Set<string>();
      let hasRepeated = false;
      for (const { argv, rc, stdout } of session.steps) {
        const [, , ...rest] = argv;
        const name = rest.join(" ");
        const args = rest.map((arg) => arg.replace("{URL}", server.url));
        const result = await runCfsctl(["--repo", repository, "--progress", "none", ...args]);
        if (rc !== 0 && TOLERATED.has(session.server)) {
          expect({ name, code: result.code, stderr: result.stderr.includes("error") }).toEqual({
            name,
            code: 0,
            stderr: false,
          });
          continue;
        }
        expect({ name, code: result.code }).toEqual({ name, code: rc });
        // composefs-rs applies a delta once more
        const isRepeated = seen.has(name) && name.startsWith("ostree pull");
        seen.add(name);
        hasRepeated ||= isRepeated;
        expect({ name, stdout: shown(result.stdout, isRepeated) }).toEqual({
          name,
          stdout: shown(stdout, isRepeated),
        });
      }
      for (const [link, target] of Object.entries(session.links_after))
        expect({ link, target: linksOf(repository)[link] }).toEqual({ link, target });
      if (session.server !== "") return;
      // composefs-rs knows nothing of signatures
      const requests = server
        .takeRequests()
        .filter((path) => !path.endsWith(".commitmeta"))
        .map((path) => `GET ${path}`);
      const expected = session.requests.map((request) => request.replaceAll("%2F", "/"));
      const others = expected.filter((request) => !isObject(request));
      const own = requests.filter((request) => !isObject(request));
      // What the last, repeated pull asks for besides the summary.
      expect(own).toEqual(others.slice(0, hasRepeated ? others.length - 2 : others.length));
      expect(new Set(requests.filter(isObject))).toEqual(new Set(expected.filter(isObject)));
    },
    30_000,
  );
});
