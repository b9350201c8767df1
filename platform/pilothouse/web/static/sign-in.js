// The page "Check your mail": goes on by itself once the link was used in this browser.
"use strict";
(() => {
  const waiting = document.querySelector("[data-await-sign-in]");
  if (!waiting) return;
  const until = Date.now() + 10 * 60_000; // the link's own lifetime
  const ask = async () => {
    if (Date.now() > until) return;
    if (!document.hidden) {
      try {
        const answer = await fetch(waiting.dataset.awaitSignIn, { method: "HEAD", cache: "no-store", redirect: "manual" });
        // the sign-in page redirects whoever is signed in, and answers 200 to everybody else
        if (answer.type === "opaqueredirect") return location.replace(waiting.dataset.next);
      } catch { /* away for a moment: the next turn asks again */ }
    }
    setTimeout(ask, 3_000);
  };
  setTimeout(ask, 3_000);
})();
