package untrusted

import (
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Invisible reports whether a character has no visible form, or none that all fonts share:
// controls, joiners, variation selectors, marks that change the direction of text, private
// use. A character that Unicode has not assigned yet counts as visible, since a later
// version may make it a letter or an emoji.
func Invisible(r rune) bool {
	switch {
	case r < utf8.RuneSelf:
		return unicode.IsControl(r)
	case unicode.Is(unicode.Prepended_Concatenation_Mark, r):
		return false // signs of Arabic and others, which are visible although they are Cf
	case r&0xfffe == 0xfffe, r >= 0xfdd0 && r <= 0xfdef: // noncharacters
		return true
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Zl, unicode.Zp,
		unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point)
}

// HasInvisible reports whether a text has a character that Characters calls invisible.
func HasInvisible(text string) bool {
	for _, visible := range Characters(text) {
		if !visible {
			return true
		}
	}
	return false
}

// Characters iterates over the characters of a text and says for each whether it is
// visible. A joiner or variation selector counts as visible if it follows a character that
// it can join or select: never at the beginning, and never after one of Reserved. The flags
// of England, Scotland and Wales (U+1F3F4 and tags) are one character.
func Characters(text string) iter.Seq2[string, bool] {
	const (
		nothing = iota // no joiner or selector may follow
		character
		selector
		joiner
	)
	return func(yield func(string, bool) bool) {
		before := nothing
		for text != "" {
			r, size := utf8.DecodeRuneInString(text)
			visible := true
			switch {
			case r == BlackFlag:
				size += lenFlagTags(text[size:])
				before = character
			case strings.ContainsRune(Reserved, r):
				before = nothing
			case IsJoiner(r) && (before == character || before == selector):
				before = joiner
			case unicode.Is(unicode.Variation_Selector, r) && before == character:
				before = selector
			case Invisible(r):
				visible = false
			default:
				before = character
			}
			if !yield(text[:size], visible) {
				return
			}
			text = text[size:]
		}
	}
}

// Reserved are the characters that Windows allows in no file name.
const Reserved = `/\:*?"<>|`

// IsJoiner reports whether a character joins or separates the letters around it. Persian,
// the scripts of India, Mongolian and emoji need such characters.
func IsJoiner(r rune) bool { return r == '\u200c' || r == '\u200d' || r == '\u180e' }

// IsBlank reports whether a character is a space of any kind.
func IsBlank(r rune) bool { return unicode.Is(unicode.Zs, r) || r == '\u2800' }

// BlackFlag begins the flags of England, Scotland and Wales.
const BlackFlag = '\U0001F3F4'

// IsTag reports whether a character is one of the tags that stand in such a flag,
// between BlackFlag and the tag that ends it.
func IsTag(r rune) bool { return r >= 0xe0020 && r <= 0xe007e }

// lenFlagTags gives the length of the tags at the beginning of s. It is 0 if they do not
// end a flag.
func lenFlagTags(s string) int {
	const mostTags = 8
	size := 0
	for n := 0; n <= mostTags; n++ {
		r, width := utf8.DecodeRuneInString(s[size:])
		switch size += width; {
		case r == 0xe007f && n > 0:
			return size
		case !IsTag(r):
			return 0
		}
	}
	return 0
}
