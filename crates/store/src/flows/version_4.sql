-- Who broke the glass, as JSON; null in rows of earlier versions.
ALTER TABLE broken_glass ADD COLUMN actor TEXT;
