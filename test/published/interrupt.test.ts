import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { INDEX_NAME } from "../../src/published/layout.ts";
import { FolderTarget } from "../../src/published/publish/folder.ts";
import { publish } from "../../src/published/publish/publish.ts";
import { Repository } from "../../src/repository/repository.ts";
import { SHA512 } from "../../src/verity/digest.ts";
import { newRepository } from "../oci/support.ts";
import { type StaticServer, serveFiles } from "../ostree/static-server.ts";
import { PROJECT } from "../support/project.ts";
import { listObjects, repositoryContent } from "../support/repository-content.ts";
import { tempDirInMemory } from "../support/temp.ts";
import { LARGE, sampleRepository } from "./support.ts";

const scratch = tempDirInMemory(128 * 1024 * 1024);
const source = scratch.join("source");
let server: StaticServer;

beforeAll(async () => {
  await sampleRepository(source, "sha512", scratch.path);
  using repository = Repository.open(source);
  await using target = new FolderTarget(scratch.join("published"), true);
  await publish(repository, target);
  server = await serveFiles(scratch.join("published"));
});
afterAll(() => {
  server[Symbol.dispose]();
  scratch[Symbol.dispose]();
});

function startFetch(into: string) {
  const main = join(PROJECT, "src/main.ts");
  return Bun.spawn([process.execPath, main, "--repo", into, "fetch", server.url, "refs", "images/refs"], {
    stdout: "ignore",
    stderr: "pipe",
  });
}

test("a fetch that is killed goes on where it was: nothing that was there is fetched again", async () => {
  const into = scratch.join("target");
  newRepository(into, SHA512)[Symbol.dispose]();
  const large = `/objects/${listObjects(source).find((path) => Bun.file(join(source, "objects", path)).size === LARGE)!}`;
  let runs = 0;
  for (const limit of [3, 20, 40]) {
    runs++;
    const before = new Set(listObjects(into).map((path) => `/objects/${path}`));
    server.takeRequests();
    let child: ReturnType<typeof startFetch>;
    let answered = 0;
    server.fault = (path, _, answer) => {
      if (path !== `/${INDEX_NAME}` && ++answered >= limit) child.kill("SIGKILL");
      // so that it is under way whenever the program is killed
      return path === large ? { ...answer, delivery: { bytesPerSecond: 20_000_000 } } : undefined;
    };
    child = startFetch(into);
    await child.exited;
    const requests = server.takeRequests();
    expect(requests.filter((path) => before.has(path))).toEqual([]);
    expect(requests.length).toBeGreaterThanOrEqual(limit);
  }
  expect(listObjects(into).length).toBeLessThan(listObjects(source).length);
  server.fault = undefined;
  const before = new Set(listObjects(into).filter((path) => path.includes("/")));
  const last = startFetch(into);
  expect(`${await last.exited} ${await new Response(last.stderr).text()}`).toStartWith("0 ");
  const requests = server.takeRequests().filter((path) => path !== `/${INDEX_NAME}`);
  expect(requests.filter((path) => before.has(path.slice("/objects/".length)))).toEqual([]);
  expect(requests).toHaveLength(listObjects(source).length - before.size);
  expect(runs).toBe(3);
  expect(repositoryContent(into, "sha512")).toEqual(repositoryContent(source, "sha512"));
}, 30_000);
