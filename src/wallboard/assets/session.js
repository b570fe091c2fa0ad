// Who looks: what the server knows of it, signing in and out. The token is sent once and kept nowhere.

const PATH = "/wallboard/session";

// `open`, `known` (by a certificate, say), `signed-in` or `needed`; null where nobody answers.
export async function ask() {
  try {
    const answer = await fetch(PATH, { cache: "no-store" });
    return answer.ok ? (await answer.json()).state : null;
  } catch {
    return null;
  }
}

// What is wrong, or null where nothing is.
export async function signIn(token) {
  try {
    const headers = { "content-type": "application/json" };
    const answer = await fetch(PATH, { method: "POST", headers, body: JSON.stringify({ token }) });
    if (answer.ok) return null;
    if (answer.status === 401) return "This token is not known here.";
    return (await answer.json()).message || `The server answered ${answer.status}.`;
  } catch {
    return "The server does not answer.";
  }
}

export async function signOut() {
  try {
    await fetch(PATH, { method: "DELETE" });
  } catch {
    // Nothing more can be done from here; the session ends by itself.
  }
}
