// Talks to this server, by relative addresses, so that the page also works below a path of a proxy.

/** An error that the server explained (RFC 9457), or one that explains why there is no answer. */
export class Problem extends Error {
  constructor(body, status) {
    super(body.detail || body.title || `the server answered ${status}`);
    this.name = "Problem";
    this.status = status;
    this.body = body;
  }

  /** Whether an API key is asked for, or another one. */
  get wantsKey() {
    return this.status === 401 || this.status === 403;
  }
}

/** `key` lives in this closure only: in no storage, no address, no element. */
export function createClient() {
  let key = "";

  async function send(path, options = {}) {
    const headers = { ...options.headers, ...(key ? { authorization: `Bearer ${key}` } : {}) };
    let response;
    try {
      response = await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem({ title: "No answer", detail: "The server can't be reached. Is it still running?", code: "unreachable" }, 0);
    }
    if (!response.ok) throw new Problem(await described(response), response.status);
    return response;
  }

  return {
    setKey: (value) => (key = value.trim()),
    hasKey: () => key !== "",
    getJson: async (path) => (await send(path)).json(),
    getText: async (path) => (await send(path)).text(),
    postJson: async (path, body, signal) => {
      const headers = { "content-type": "application/json" };
      return (await send(path, { method: "POST", headers, body: JSON.stringify(body), signal })).json();
    },
  };
}

async function described(response) {
  const fallback = { title: response.statusText || "Error", status: response.status };
  try {
    const body = await response.json();
    return body && typeof body === "object" ? body : fallback;
  } catch {
    return fallback; // a proxy's own page, for example
  }
}
