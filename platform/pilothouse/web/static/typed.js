// What was typed comes back where sending it failed, or where signing in again came between. Kept for this tab; secrets never.
const KEY = "phTyped", here = document, $ = selector => here.querySelector(selector);
const fieldsOf = form => [...form.elements].filter(one => one.name && one.autocomplete !== "one-time-code" && !/^(hidden|password|file|submit|button|fieldset)$/.test(one.type));
const target = form => new URL(form.getAttribute("action") || "", location.href).pathname; // `form.action` may be a field of that name
const reader = () => $(".me .who")?.textContent;
let edited = null;

export const edit = form => { edited = form; };

const keep = form => {
  if (!form || !reader()) return; // the sign-in pages' own forms are not worth it
  const fields = fieldsOf(form).map(one => [one.name, one.value, one.checked]);
  if (fields.length) sessionStorage[KEY] = JSON.stringify({ by: reader(), to: target(form), fields });
};

const fill = (form, fields) => {
  let changed = false;
  fieldsOf(form).forEach((one, index) => {
    const [name, value, checked] = fields[index] || [];
    if (name !== one.name || (value === one.value && checked === one.checked)) return;
    one.value = value; one.checked = checked; changed = true;
  });
  return changed;
};

const giveBack = () => {
  const kept = JSON.parse(sessionStorage[KEY] || "null");
  if (!kept) return;
  const way = performance.getEntriesByType("navigation")[0] || {}, failed = way.responseStatus >= 400 || !!$(".authpage");
  const form = [...here.querySelectorAll("form[method=post]")].find(one => target(one) === kept.to);
  if (failed && !form) { sessionStorage[KEY] = JSON.stringify({ ...kept, failed }); return; } // the page that has the form comes later
  delete sessionStorage[KEY];
  const wanted = failed || kept.failed || way.type === "back_forward"; // else it was sent, and this is the page after it
  if (!form || !wanted || kept.by !== reader() || !fill(form, kept.fields)) return;
  edited = form;
  const box = form.closest("dialog"), fault = $("#content > .callout.t-bad");
  if (box) PH.open(box); else form.scrollIntoView({ block: "center" });
  if (fault && box) form.before(fault); // said on the page, which the dialog covers
  if (way.responseStatus === 422) return;
  const secret = form.querySelector("[type=password]"), text = `It was not sent.${secret ? " Only the secret has to be typed once more." : ""}`;
  form.before(PH.parse(`<div class="callout t-run" role="status"><div><b>What you typed is here again</b><span>${text}</span></div></div>`));
};

here.addEventListener("submit", event => { if (!event.defaultPrevented && event.target.method === "post") keep(event.target); });
here.addEventListener("ph:leaving", () => keep(edited));
giveBack();
