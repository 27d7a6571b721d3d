package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	_ "image/gif" // the formats that decode reads
	_ "image/jpeg"
)

// decode reads an image. It looks at the size first: a small file may claim to be a
// picture that fills the memory.
func decode(data []byte) (image.Image, error) {
	const maxPixels = 50_000_000
	head, _, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	if head.Width < 1 || head.Height < 1 || head.Width > maxPixels/head.Height {
		return nil, fmt.Errorf("%d × %d pixels are too many", head.Width, head.Height)
	}
	picture, _, err := image.Decode(bytes.NewReader(data))
	return picture, err
}

// shrink returns a picture whose longer side has at most so many pixels: each of them is
// the average of those that it covers.
func shrink(from image.Image, longest int) *image.RGBA64 {
	size := from.Bounds().Size()
	width, height := size.X, size.Y
	if long := max(width, height); long > longest {
		width, height = max(1, width*longest/long), max(1, height*longest/long)
	}
	to := image.NewRGBA64(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			area := image.Rect(x*size.X/width, y*size.Y/height, (x+1)*size.X/width, (y+1)*size.Y/height)
			to.Set(x, y, average(from, area.Add(from.Bounds().Min)))
		}
	}
	return to
}

func average(picture image.Image, area image.Rectangle) color.Color {
	var r, g, b, a, n uint64
	for y := area.Min.Y; y < area.Max.Y; y++ {
		for x := area.Min.X; x < area.Max.X; x++ {
			pr, pg, pb, pa := picture.At(x, y).RGBA()
			r, g, b, a, n = r+uint64(pr), g+uint64(pg), b+uint64(pb), a+uint64(pa), n+1
		}
	}
	return color.RGBA64{uint16(r / n), uint16(g / n), uint16(b / n), uint16(a / n)}
}
