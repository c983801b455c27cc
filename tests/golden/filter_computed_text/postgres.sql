SELECT string_agg(j, chr(30)) FILTER (WHERE n < $19::bigint), count(*), max(k0) FILTER (WHERE n = $19::bigint - 1)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"name":', to_json(t0."name"), ',"caption":', to_json(((t0."name" || $1::text) || coalesce(t0."subtitle", $2::text))), ',"speed":', to_json(CASE WHEN t0."brewing" IS NULL THEN $3::text ELSE CASE WHEN coalesce(t0."brewing", $4::bigint) < $5::bigint THEN $6::text ELSE $7::text END END), '}') AS j, (t0."id")::text AS k0
    FROM "products" AS t0
    WHERE (t0."state" = $8::text
      AND (t0."released_at" IS NULL
        OR $9::timestamptz >= t0."released_at")
      AND CASE WHEN t0."brewing" IS NULL THEN $10::text ELSE CASE WHEN coalesce(t0."brewing", $11::bigint) < $12::bigint THEN $13::text ELSE $14::text END END = $15::text
      AND strpos(((t0."name" || $16::text) || coalesce(t0."subtitle", $17::text)), $18::text) > 0)
    ORDER BY t0."id"
    LIMIT $19::bigint) AS page) AS numbered
