-- A sample: the room shelf gets a note and a date, by a text of its own for each engine.
-- leads_to: e7f0bb10a360cb25
-- engine: sqlite
ALTER TABLE shelf ADD COLUMN note TEXT;
-- engine: postgres
ALTER TABLE shelf ADD COLUMN note TEXT COLLATE "C";
-- engine: both
UPDATE shelf SET note = 'a "quoted" \ text; with ''both''';
