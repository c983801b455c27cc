"""The API: sessions by dependency, a signed-in customer by bearer token, relations loaded eagerly."""

import os
from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

import jwt
from fastapi import Depends, FastAPI, HTTPException, Query
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import selectinload

from .models import Customer, Order, OrderItem, Product, Review
from .schemas import OrderMade, OrderPage, ProductPage, ProductShown, PurchaseWanted, ReviewShown, ReviewWanted

SECRET = os.environ["SECRET_KEY"]

engine = create_async_engine(os.environ["DATABASE_URL"], pool_size=16, max_overflow=0)
new_session = async_sessionmaker(engine, expire_on_commit=False)
bearer = HTTPBearer()
app = FastAPI(title="Shop")


async def open_session() -> AsyncIterator[AsyncSession]:
    async with new_session() as session:
        yield session


Session = Annotated[AsyncSession, Depends(open_session)]


async def signed_in_customer(
    session: Session, credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]
) -> Customer:
    try:
        claims = jwt.decode(credentials.credentials, SECRET, algorithms=["HS256"])
    except jwt.InvalidTokenError:
        raise HTTPException(401, "Could not validate credentials") from None
    customer = await session.get(Customer, UUID(claims["sub"]))
    if customer is None:
        raise HTTPException(401, "Could not validate credentials")
    return customer


SignedIn = Annotated[Customer, Depends(signed_in_customer)]
Limit = Annotated[int, Query(ge=1, le=200)]


@app.get("/api/products/{product_id}", response_model=ProductShown)
async def read_product(product_id: UUID, session: Session) -> Product:
    product = await session.get(Product, product_id)
    if product is None:
        raise HTTPException(404, "Product not found")
    return product


@app.get("/api/products", response_model=ProductPage)
async def list_products(
    session: Session,
    category: UUID | None = None,
    price_from: Annotated[int, Query(ge=0)] = 0,
    price_below: int | None = None,
    count: bool = False,
    limit: Limit = 30,
) -> dict[str, object]:
    matching = select(Product).where(Product.price >= price_from)
    if category is not None:
        matching = matching.where(Product.category_id == category)
    if price_below is not None:
        matching = matching.where(Product.price < price_below)
    products = (await session.scalars(matching.order_by(Product.price, Product.id).limit(limit))).all()
    total = None
    if count:
        total = await session.scalar(select(func.count()).select_from(matching.subquery()))
    return {"data": products, "total": total}


@app.get("/api/orders", response_model=OrderPage)
async def list_orders(session: Session, customer: SignedIn, limit: Limit = 20) -> dict[str, object]:
    orders = await session.scalars(
        select(Order)
        .where(Order.customer_id == customer.id)
        .order_by(Order.created_at.desc(), Order.id.desc())
        .limit(limit)
        .options(selectinload(Order.items).joinedload(OrderItem.product).joinedload(Product.category))
    )
    return {"data": orders.all()}


@app.post("/api/reviews", response_model=ReviewShown, status_code=201)
async def create_review(wanted: ReviewWanted, session: Session, customer: SignedIn) -> Review:
    if await session.get(Product, wanted.product_id) is None:
        raise HTTPException(422, "Product not found")
    review = Review(author_id=customer.id, **wanted.model_dump())
    session.add(review)
    await session.commit()
    return review


@app.post("/api/purchase", response_model=OrderMade, status_code=201)
async def purchase(wanted: PurchaseWanted, session: Session, customer: SignedIn) -> Order:
    quantities = {line.product_id: line.quantity for line in wanted.items}
    products = await session.scalars(
        select(Product).where(Product.id.in_(quantities)).order_by(Product.id).with_for_update()
    )
    items = []
    for product in products:
        quantity = quantities.pop(product.id)
        if product.stock < quantity:
            raise HTTPException(409, f"There are only {product.stock} of {product.name}")
        product.stock -= quantity
        items.append(OrderItem(product_id=product.id, quantity=quantity, price=product.price * quantity))
    if quantities:
        raise HTTPException(422, "Product not found")
    order = Order(customer_id=customer.id, status="paid", total=sum(item.price for item in items), items=items)
    session.add(order)
    await session.commit()
    return order
