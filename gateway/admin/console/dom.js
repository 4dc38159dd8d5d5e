// What the views do to the document.

export const find = (selector, root = document) => root.querySelector(selector);

// element makes an element; children are elements or text, never markup.
export function element(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
  e.append(...children);
  return e;
}

// say changes a text only if it is another one: what has not changed is not laid
// out again, and not read out again.
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// mark does the same for an attribute.
export function mark(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

// fill makes the rows of a table body those of items, in their order. Rows are
// kept by their key, with the focus and the selection in them.
export function fill(body, items, key, make, update) {
  const old = new Map([...body.rows].map((row) => [row.dataset.key, row]));
  let at = body.firstElementChild;
  for (const item of items) {
    let row = old.get(key(item));
    if (row) {
      old.delete(key(item));
    } else {
      row = make(item);
      row.dataset.key = key(item);
    }
    update(row, item);
    if (row === at) at = at.nextElementSibling;
    else body.insertBefore(row, at);
  }
  for (const row of old.values()) row.remove();
}

// cells makes a row of so many cells; the first is its heading. With labels,
// they are what a narrow screen shows beside each.
export function cells(columns, numeric, labels = []) {
  const row = element('tr');
  for (let i = 0; i < columns; i++) {
    const cell = i === 0 ? element('th', { scope: 'row' }) : element('td');
    if (numeric.includes(i)) cell.className = 'n';
    if (labels[i]) cell.dataset.label = labels[i];
    row.append(cell);
  }
  return row;
}

// choices makes the options of a select those of a list, and keeps what is chosen.
export function choices(select, list) {
  if (list.join('\n') === [...select.options].map((o) => o.value).join('\n')) return false;
  const chosen = select.value;
  select.replaceChildren(...list.map((value) => element('option', { value }, value)));
  if (list.includes(chosen)) select.value = chosen;
  return true;
}
