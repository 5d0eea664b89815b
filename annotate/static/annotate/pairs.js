/* Previews of finished pairs: each plays in step once it is on screen. */
"use strict";

function showPair(element) {
  const [left, right] = element.querySelectorAll("video");
  const button = element.querySelector("button");
  const player = new PairPlayer(
    { left, right },
    {
      fps: Number(element.dataset.fps),
      numFrames: Number(element.dataset.numFrames),
      changed: () => (button.textContent = player.isPlaying ? "Pause" : "Play"),
    },
  );
  for (const target of [button, left, right]) target.addEventListener("click", () => player.toggle());
  // Marks of breaks, wherever the page lists them.
  for (const mark of document.querySelectorAll("button[data-frame]")) {
    mark.addEventListener("click", () => {
      player.show(Number(mark.dataset.frame));
      element.scrollIntoView({ block: "nearest" });
    });
  }
  player.load().then(
    () => {
      button.disabled = false;
      if (!matchMedia("(prefers-reduced-motion: reduce)").matches) player.play();
    },
    (error) => {
      button.textContent = `Cannot be shown (${error.message})`;
    },
  );
}

const onScreen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    onScreen.unobserve(target);
    showPair(target);
  }
});
document.querySelectorAll(".pair").forEach((pair) => onScreen.observe(pair));
