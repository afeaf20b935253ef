import { findRemote } from "../../../ostree/remote/open-remote.ts";
import type { RemoteSettings } from "../../../ostree/remote/remote-settings.ts";
import type { Arguments } from "../../arguments.ts";

/** The repository that the arguments of a command name, and what they say about signatures. */
export function remoteOf(args: Arguments): RemoteSettings {
  return findRemote(
    args.required("REMOTE"),
    { root: "", file: args.text("remote-config") },
    {
      gpgKeyrings: args.list("gpg-keyring"),
      ed25519Keys: args.list("ed25519-key"),
      noGpgVerify: args.flag("no-gpg-verify"),
    },
  );
}
