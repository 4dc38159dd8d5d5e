package remote

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"sluice/gateway/delivery"
)

// connections lists sessions, page by page.
func connections(ctx context.Context, c *caller) error {
	out := bufio.NewWriter(c.stdout)
	query := c.condition()
	for {
		_, body, err := c.call(ctx, http.MethodGet, c.path("connections"), query, "", nil)
		if err != nil {
			return err
		}
		var page struct {
			Value    []delivery.Entry
			NextLink string
		}
		if err := json.Unmarshal(body, &page); err != nil {
			return fmt.Errorf("the answer of %s is no list: %w", c.base.Host, err)
		}
		for _, entry := range page.Value {
			if err := c.write(out, entry); err != nil {
				return err
			}
		}
		if err := out.Flush(); err != nil {
			return err
		}
		if page.NextLink == "" {
			return nil
		}
		// Only the place in the list is taken from the link: where to ask, and
		// with which token, is not for the answer to say.
		next, err := url.Parse(page.NextLink)
		if err != nil || !next.Query().Has("continuationToken") {
			return fmt.Errorf("the answer of %s has no link to the next page that can be followed", c.base.Host)
		}
		query.Set("continuationToken", next.Query().Get("continuationToken"))
	}
}

// write writes a session as a line.
func (c *caller) write(out *bufio.Writer, entry delivery.Entry) error {
	if c.json {
		return json.NewEncoder(out).Encode(entry)
	}
	line := printable(entry.ConnectionID)
	if entry.UserID != "" {
		line += "\t" + printable(entry.UserID)
	}
	_, err := fmt.Fprintln(out, line)
	return err
}
