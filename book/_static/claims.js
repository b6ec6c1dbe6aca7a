// The ledger's filter: shows the rows of one verdict; a link to a hidden row shows everything again.
const choices = document.querySelectorAll('.claim-filter input');
const show = (verdict) => {
  for (const card of document.querySelectorAll('.claim-card')) {
    card.classList.toggle('claim-hidden', Boolean(verdict) && !card.classList.contains(verdict));
  }
};
for (const choice of choices) choice.addEventListener('change', () => show(choice.value));
window.addEventListener('hashchange', () => {
  if (document.querySelector('.claim-hidden:target') && choices.length) {
    choices[0].checked = true;
    show('');
    document.querySelector(location.hash)?.scrollIntoView();
  }
});
