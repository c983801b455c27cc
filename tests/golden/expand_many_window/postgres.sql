SELECT string_agg(j, chr(30)) FILTER (WHERE n < $7::bigint), count(*), max(k0) FILTER (WHERE n = $7::bigint - 1), max(k1) FILTER (WHERE n = $7::bigint - 1)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"name":', to_json(t0."name"), ',"reviews":', (SELECT concat('[', string_agg(j, ','), ']')
        FROM (SELECT concat('{"text":', to_json(t1."text"), ',"stars":', t1."stars", '}') AS j
          FROM "reviews" AS t1
          WHERE t1."product_id" = t0."id"
          AND (t1."hidden" <> $1::boolean
            AND t1."stars" >= $2::bigint)
          ORDER BY t1."stars" DESC, t1."text", t1."id"
          LIMIT $3::bigint) AS rows), '}') AS j, (t0."name")::text AS k0, (t0."id")::text AS k1
    FROM "products" AS t0
    WHERE (t0."state" = $4::text
      AND (t0."released_at" IS NULL
        OR $5::timestamptz >= t0."released_at")
      AND t0."origin" = $6::text)
    ORDER BY t0."name", t0."id"
    LIMIT $7::bigint) AS page) AS numbered
