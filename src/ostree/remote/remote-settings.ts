import type { Verification } from "../signature/verification.ts";

/** How a remote repository is spoken to, and what of it is believed. */
export interface RemoteSettings {
  /** URL, or `mirrorlist=` and the URL of a list of URLs. */
  readonly url: string;
  /** The same, for objects and static deltas; `url` is for all else then. */
  readonly contentUrl?: string | undefined;
  /** URL of a proxy; undefined leaves it to the environment. */
  readonly proxy?: string | undefined;
  readonly tls: RemoteTls;
  /** Sent with every request to the repository and its mirrors. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly verification: Verification;
}

export interface RemoteTls {
  /** Any certificate will do. */
  readonly permissive: boolean;
  /** Files in PEM; with authorities to be trusted instead of the machine's. */
  readonly caPath?: string | undefined;
  readonly clientCertificate?: { readonly certPath: string; readonly keyPath: string } | undefined;
}
