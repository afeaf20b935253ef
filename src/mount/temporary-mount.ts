import { mkdtempSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { withContext } from "../errors.ts";
import type { Fd } from "../sys/fd.ts";
import { O_DIRECTORY, O_PATH, O_RDONLY, open } from "../sys/file.ts";
import { detachMount, moveMount } from "../sys/mount.ts";

/** A mount that has a place in the file tree for a short while. */
export interface TemporaryMount extends Disposable {
  /** Its root directory. */
  readonly root: Fd;
}

/** Attaches a mount to a new directory, which goes away with it. What uses the mount by then keeps it. */
export function attachTemporarily(mount: Fd): TemporaryMount {
  const path = makeDirectory();
  let attached = false;
  const remove = () => {
    if (attached) detachMount(path);
    rmdirSync(path);
  };
  try {
    using target = open(path, O_PATH | O_DIRECTORY);
    moveMount(mount, target);
    attached = true;
    const root = open(path, O_RDONLY | O_DIRECTORY);
    return {
      root,
      [Symbol.dispose]: () => {
        root.close();
        remove();
      },
    };
  } catch (error) {
    remove();
    throw error;
  }
}

/** In early boot there may be no /tmp that can be written to; there is a /run. */
function makeDirectory(): string {
  const places = [process.env.TMPDIR || "/tmp", "/run"];
  let last: unknown;
  for (const place of places) {
    try {
      return mkdtempSync(join(place, ".cfsctl-mount-"));
    } catch (error) {
      last = error;
    }
  }
  throw withContext(`no directory for a temporary mount can be made in ${places.join(" or ")}`, last);
}
