import { parseHttpHeaders } from "../../../ostree/remote/http-headers.ts";
import { findRemote, type TrustOptions } from "../../../ostree/remote/open-remote.ts";
import type { RemoteSettings } from "../../../ostree/remote/remote-settings.ts";
import type { Arguments } from "../../arguments.ts";

/** The repository that the arguments of a command name, and what they say about signatures. */
export function remoteOf(args: Arguments): RemoteSettings {
  const settings = findRemote(
    args.required("REMOTE"),
    { root: "", file: args.text("remote-config") },
    { ...trustOf(args), noGpgVerify: args.flag("no-gpg-verify") },
  );
  return { ...settings, headers: parseHttpHeaders(args.list("http-header")) };
}

/** The keys that commits have to be signed with. */
export function trustOf(args: Arguments): TrustOptions {
  return { gpgKeyrings: args.list("gpg-keyring"), ed25519Keys: args.list("ed25519-key") };
}
