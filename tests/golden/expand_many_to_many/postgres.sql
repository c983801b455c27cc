SELECT string_agg(j, chr(30)) FILTER (WHERE n < $7::bigint), count(*), max(k0) FILTER (WHERE n = $7::bigint - 1)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"name":', to_json(t0."name"), ',"labels":', (SELECT concat('[', string_agg(j, ','), ']')
        FROM (SELECT concat('{"name":', to_json(t2."name"), '}') AS j
          FROM "product_labels" AS t1
          JOIN "labels" AS t2 ON t2."id" = t1."label_id"
          WHERE t1."product_id" = t0."id"
          AND t1."hidden" <> $1::boolean
          AND t2."internal" <> $2::boolean
          ORDER BY t2."name" DESC, t2."id" DESC
          LIMIT $3::bigint) AS rows), '}') AS j, (t0."id")::text AS k0
    FROM "products" AS t0
    WHERE (t0."state" = $4::text
      AND (t0."released_at" IS NULL
        OR $5::timestamptz >= t0."released_at")
      AND t0."id" = ANY($6::uuid[]))
    ORDER BY t0."id"
    LIMIT $7::bigint) AS page) AS numbered
