/** Milliseconds for which a button says that it has copied. */
const TOLD = 1500;

/** Shows the buttons that copy the command beside them. */
export function copyButtons(): void {
  for (const button of document.querySelectorAll<HTMLButtonElement>("button.copy")) {
    const { textContent: label } = button;
    const code = button.previousElementSibling;
    if (code === null) continue;
    button.hidden = false;
    button.addEventListener("click", () => {
      // Selected too: where the clipboard is not to be had, a key copies it.
      getSelection()?.selectAllChildren(code);
      navigator.clipboard.writeText(code.textContent).then(
        () => {
          button.textContent = button.dataset["done"] ?? label;
          setTimeout(() => {
            button.textContent = label;
          }, TOLD);
        },
        () => {
          code.parentElement?.focus();
        },
      );
    });
  }
}
