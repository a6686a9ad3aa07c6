import DOMPurify from 'dompurify';
import { marked } from 'marked';

// What a model writes is untrusted: Markdown to HTML, then everything active is taken out.
export function render(text: string): string {
  return DOMPurify.sanitize(marked.parse(text, { async: false, gfm: true, breaks: true }), {
    FORBID_TAGS: ['style', 'form', 'img', 'iframe'],
    FORBID_ATTR: ['style'],
  });
}
