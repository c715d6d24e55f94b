package picture

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"testing"
)

// TestSmall: the colors that there are most of stay as they are, the others become near ones.
func TestSmall(t *testing.T) {
	from := image.NewRGBA(image.Rect(0, 0, 100, 100))
	for y := range 100 {
		for x := range 100 {
			c := color.RGBA{200, 10, 30, 255}
			if y < 10 { // a thousand colors, each once
				c = color.RGBA{uint8(x), uint8(y), 100, 255}
			}
			from.SetRGBA(x, y, c)
		}
	}
	var raw bytes.Buffer
	if err := png.Encode(&raw, from); err != nil {
		t.Fatal(err)
	}
	small, err := Small(raw.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	got, err := png.Decode(bytes.NewReader(small))
	if err != nil {
		t.Fatal(err)
	}
	p, ok := got.(*image.Paletted)
	if !ok || len(p.Palette) != 256 {
		t.Fatalf("%T, want a picture with a palette of 256 colors", got)
	}
	if c := color.RGBAModel.Convert(got.At(50, 50)); c != (color.RGBA{200, 10, 30, 255}) {
		t.Errorf("the color of most of the picture became %v", c)
	}
	if c := color.RGBAModel.Convert(got.At(90, 5)).(color.RGBA); c.B < 60 || c.R > 120 {
		t.Errorf("a color that is there once became %v, which is not near", c)
	}
	if _, err := Small([]byte("not a picture")); err == nil {
		t.Error("takes what is not a picture")
	}
}
