/**
 * The public API, as the console asks it: with the cookies of a log-in, which no script can read.
 * Addresses are relative to the page, so the application may be served under any path.
 */
import { ref } from "vue";

export interface FieldError {
  path: string;
  code: string;
  message: string;
}

/** What the server said is wrong (RFC 9457), or that it was not reached. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    readonly errors: FieldError[] = [],
    readonly requestId = "",
  ) {
    super(detail);
  }
}

export interface Answer<T> {
  data: T;
  etag: string;
}

/** Whether somebody is signed in; nothing while that is not known. */
export const signedIn = ref<boolean | null>(null);

let refreshing: Promise<boolean> | null = null;

function refresh(): Promise<boolean> {
  refreshing ??= fetch("api/auth/refresh", { method: "POST" })
    .then((answer) => answer.ok)
    .catch(() => false)
    .finally(() => (refreshing = null));
  return refreshing;
}

async function problemOf(answer: Response): Promise<Problem> {
  const id = answer.headers.get("x-request-id") ?? "";
  try {
    const said = await answer.json();
    return new Problem(answer.status, said.code ?? "", said.detail ?? said.title ?? "", said.errors ?? [], id);
  } catch {
    return new Problem(answer.status, "", `The server answered ${answer.status}.`, [], id);
  }
}

export async function ask<T>(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer<T>> {
  for (let tried = 0; ; tried++) {
    let answer: Response;
    try {
      answer = await fetch(path, {
        method,
        headers: body === undefined ? headers : { "content-type": "application/json", ...headers },
        body: body === undefined ? undefined : JSON.stringify(body),
      });
    } catch {
      throw new Problem(0, "unreachable", "The server cannot be reached. Nothing is lost: try again.");
    }
    if (answer.ok) {
      const data = answer.status === 204 ? undefined : await answer.json();
      return { data: data as T, etag: answer.headers.get("etag") ?? "" };
    }
    if (answer.status === 401 && tried === 0 && !path.startsWith("api/auth/login") && (await refresh())) continue;
    const problem = await problemOf(answer);
    if (problem.status === 401 && !path.startsWith("api/auth/login")) signedIn.value = false;
    throw problem;
  }
}

export async function get<T>(path: string): Promise<T> {
  return (await ask<T>("GET", path)).data;
}

/** A list in pages: `next` is what the following one begins behind. */
export interface Page<T> {
  data: T[];
  meta: { next_cursor: string | null };
}

export function query(values: Record<string, string | number | undefined>): string {
  const sent = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) if (value !== undefined && value !== "") sent.set(name, `${value}`);
  return sent.toString();
}

/** The key of one intention, made when somebody begins it: sent again after a lost answer, it is still done once. */
export function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Call back whenever a list changes, as the server tells it; returns what ends it. */
export function watch(path: string, changed: () => void): () => void {
  const source = new EventSource(path);
  let first = true;
  let later: ReturnType<typeof setTimeout> | undefined;
  const soon = () => {
    clearTimeout(later);
    later = setTimeout(changed, 150);
  };
  source.addEventListener("snapshot", () => (first ? (first = false) : soon()));
  for (const name of ["create", "update", "delete"]) source.addEventListener(name, soon);
  source.addEventListener("end", () => source.close());
  return () => {
    clearTimeout(later);
    source.close();
  };
}
