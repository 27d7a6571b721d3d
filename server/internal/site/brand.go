package site

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of a brand.
const (
	maxBrand    = 40 // characters
	maxBrandURL = 2000
)

// CheckBrand says what is wrong with the name of a brand. Empty is none.
func CheckBrand(name string) error {
	switch {
	case utf8.RuneCountInString(name) > maxBrand:
		return fmt.Errorf("must be at most %d characters, not %d", maxBrand, utf8.RuneCountInString(name))
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return errors.New("must be one line of printable UTF-8 text")
	case name != "" && strings.TrimSpace(name) == "":
		return errors.New("must not be blank")
	}
	return nil
}

// CheckBrandURL says what is wrong with the link of a brand. Empty is none.
func CheckBrandURL(link string) error {
	u, err := url.Parse(link)
	switch {
	case link == "":
		return nil
	case len(link) > maxBrandURL:
		return fmt.Errorf("must be at most %d bytes, not %d", maxBrandURL, len(link))
	case err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "",
		err == nil && u.Scheme == "" && u.Host == "" && strings.HasPrefix(link, "/") && !strings.Contains(link, `\`):
		return nil
	}
	return fmt.Errorf("must be an http or https URL, or a path that begins with /, not %.100q", link)
}
