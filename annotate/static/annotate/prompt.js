// While nobody writes the text by hand, it follows the sentences of the ticked elements.

"use strict";

{
  const form = document.querySelector("form.prompt");
  const text = form.elements.text;
  const rows = [...form.querySelectorAll(".element")];

  function sentence(row) {
    const words = row.querySelector("[name$=-statement]").value.trim().replace(/\s+/g, " ");
    return !words || /[.!?]$/.test(words) ? words : `${words}.`;
  }

  function composed() {
    const ticked = rows.filter((row) => row.querySelector("[name$=-changed]").checked);
    return ticked.map(sentence).filter(Boolean).join(" ");
  }

  let isByHand = text.value !== composed();
  form.addEventListener("input", ({ target }) => {
    if (target === text) isByHand = text.value.trim() !== "" && text.value !== composed();
    else if (!isByHand) {
      text.value = composed();
      text.dispatchEvent(new Event("input", { bubbles: true })); // its tokens are counted anew
    }
  });
}
