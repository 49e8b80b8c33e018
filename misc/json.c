#include <string.h>

#include "json.h"
#include "str.h"

void
json_string(FILE *fp, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t n, k, bad;

	if (text == NULL) {
		fputs("null", fp);
		return;
	}
	putc('"', fp);
	for (n = strlen(text); n > 0; p += k, n -= k) {
		if ((k = str_utf8(p, n, &bad)) == 0) {
			fputs("\xef\xbf\xbd", fp);
			k = bad;
		} else if (*p == '"' || *p == '\\')
			fprintf(fp, "\\%c", *p);
		else if (*p < 0x20 || *p == 0x7f)
			fprintf(fp, "\\u%04x", *p);
		else
			(void)fwrite(p, 1, k, fp);
	}
	putc('"', fp);
}
