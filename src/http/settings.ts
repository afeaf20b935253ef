/** PEM texts for TLS. */
export interface TlsFiles {
  /** Certificate authorities that are trusted. */
  readonly ca: readonly string[];
  /** Those of the machine are not trusted then. */
  readonly isComplete?: boolean;
  readonly cert?: string;
  readonly key?: string;
}

/** What users can do about connections that fail, where that depends on what these are for. */
export interface Advice {
  /** About certificates that are not trusted. */
  readonly certificate: string;
  /** About a server that seems to speak no TLS, or asks for more than it got. */
  readonly handshake: string;
  /** About one that closes the connection. */
  readonly closed: string;
  readonly unknownHost: string;
}

/** How connections are made. */
export interface ConnectionSettings {
  tls(host: string): TlsFiles;
  /** URL of the proxy for a request, if any. The environment has no say in it any more: see `claimProxyVariables`. */
  proxy(url: URL): string | undefined;
  readonly advice: Advice;
}
