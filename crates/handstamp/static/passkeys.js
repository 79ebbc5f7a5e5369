/* Passkeys: asks for the options of a ceremony, has the browser do it, and sends the answer. */
"use strict";
(() => {
  const known = window.PublicKeyCredential;
  // Browsers without the JSON of Web Authentication Level 3 do not show what needs it.
  if (!known?.parseRequestOptionsFromJSON || !known.prototype.toJSON) return;

  // A browser does one ceremony at a time: the autofill gives way to the button.
  let current = new AbortController();
  const value = (selector) => document.querySelector(selector)?.value ?? "";

  const post = async (url, body) => {
    const answer = await fetch(url, {
      method: "POST",
      headers: { Accept: "application/json", "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    const content = await answer.json();
    if (answer.ok) return content;
    // The page itself leads to the sign-in, or to the page to confirm.
    if (answer.status === 401 || content.type === "reauthentication-required") location.reload();
    throw Object.assign(new Error(content.detail), { name: "Refused" });
  };

  const run = async (box, autofill) => {
    current.abort();
    const { signal } = (current = new AbortController());
    const { passkey, url } = box.dataset;
    const email = autofill || !("autofill" in box.dataset) ? "" : value("#email");
    const { ceremony, publicKey } = await post(`${url}/options`, email ? { email } : {});
    signal.throwIfAborted();
    const credential =
      passkey === "create"
        ? await navigator.credentials.create({ publicKey: known.parseCreationOptionsFromJSON(publicKey), signal })
        : await navigator.credentials.get({
            publicKey: known.parseRequestOptionsFromJSON(publicKey),
            mediation: autofill ? "conditional" : "optional",
            signal,
          });
    const remember = document.querySelector("[name=remember]")?.checked ?? false;
    const rest = { next: value("[name=next]"), remember, name: value("#passkey-name") };
    location.assign((await post(url, { ceremony, credential, ...rest })).next);
  };

  for (const box of document.querySelectorAll("[data-passkey]")) {
    const [button, problem] = [box.querySelector("button"), box.querySelector("[role=alert]")];
    const words = { Refused: "", NotAllowedError: box.dataset.cancelled, InvalidStateError: box.dataset.known };
    const tell = (error) => {
      if (error.name === "AbortError") return;
      problem.textContent = words[error.name] === "" ? error.message : (words[error.name] ?? box.dataset.failed);
      problem.hidden = false;
    };
    const offer = async () => {
      if (!("autofill" in box.dataset) || !(await known.isConditionalMediationAvailable?.())) return;
      // A ceremony can be completed for five minutes.
      const again = setTimeout(offer, 4 * 60 * 1000);
      current.signal.addEventListener("abort", () => clearTimeout(again));
      await run(box, true).catch(tell);
    };
    button.addEventListener("click", async () => {
      [button.disabled, problem.hidden] = [true, true];
      await run(box, false).catch((error) => {
        tell(error);
        button.disabled = false;
        offer();
      });
    });
    box.hidden = false;
    offer();
  }
})();
