/* The token is in the address's fragment, which no server sees: it is taken out of the address and shown once, for a cookie. */
const token = new URLSearchParams(location.hash.slice(1)).get('token');
history.replaceState(null, '', location.pathname);
const headers = { 'content-type': 'application/json', 'x-protagonist': '1', ...(token && { authorization: `Bearer ${token}` }) };
fetch('/session', { method: 'POST', headers, body: '{}' })
  .then(async answer => {
    if (answer.ok) location.replace('/window/');
    else document.getElementById('said').textContent = await answer.text();
  })
  .catch(() => (document.getElementById('said').textContent = 'Protagonist does not answer: start it again with protagonist serve.'));
