SELECT string_agg(j, chr(30)) FILTER (WHERE n < $6::bigint), count(*), max(k0) FILTER (WHERE n = $6::bigint - 1), max(k1) FILTER (WHERE n = $6::bigint - 1), max(k2) FILTER (WHERE n = $6::bigint - 1)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"name":', to_json(t0."name"), ',"rating":', coalesce((t0."rating")::text, 'null'), ',"stock":', t0."stock", '}') AS j, (t0."rating")::text AS k0, (t0."stock")::text AS k1, (t0."id")::text AS k2
    FROM "products" AS t0
    WHERE (t0."state" = $1::text
      AND (t0."released_at" IS NULL
        OR $2::timestamptz >= t0."released_at")
      AND (t0."rating" < $3::text::float8
        OR (t0."rating" = $3::text::float8
          AND t0."stock" > $4::text::bigint)
        OR (t0."rating" = $3::text::float8
          AND t0."stock" = $4::text::bigint
          AND t0."id" > $5::text::uuid)))
    ORDER BY t0."rating" DESC, t0."stock", t0."id"
    LIMIT $6::bigint) AS page) AS numbered
