// Passkeys: hands the server's question to the browser, and the browser's answer back in a form.
"use strict";
(() => {
  const form = document.querySelector("[data-passkey]");
  if (!form) return;
  const says = form.querySelector("[data-says]"), button = form.querySelector("button");
  const bytes = text => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), c => c.charCodeAt(0));
  const text = buffer => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const question = () => {
    const asked = JSON.parse(form.dataset.options);
    asked.challenge = bytes(asked.challenge);
    if (asked.user) asked.user.id = bytes(asked.user.id);
    for (const one of [...(asked.excludeCredentials || []), ...(asked.allowCredentials || [])]) one.id = bytes(one.id);
    return { publicKey: asked };
  };
  const answer = made => {
    const response = { clientDataJSON: text(made.response.clientDataJSON) };
    for (const name of ["attestationObject", "authenticatorData", "signature", "userHandle"]) if (made.response[name]) response[name] = text(made.response[name]);
    return JSON.stringify({ id: made.id, rawId: text(made.rawId), type: made.type, response, clientExtensionResults: {} });
  };
  form.addEventListener("submit", async event => {
    event.preventDefault();
    event.stopPropagation(); // the console's script would take the form as sent, and the button as busy
    if (button.ariaBusy) return;
    button.ariaBusy = "true";
    says.hidden = true;
    try {
      const made = await navigator.credentials[form.dataset.passkey](question());
      form.elements.answer.value = answer(made);
      form.submit();
    } catch (fault) {
      says.querySelector("span").textContent = fault.name === "InvalidStateError" ? "This device has a passkey for your account already." : "The browser did not go through with it. Try again.";
      says.hidden = false;
      button.ariaBusy = null;
    }
  });
})();
